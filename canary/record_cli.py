"""`canary judge RECORD`: judge a recorded run again, anywhere and without a gateway."""

from pathlib import Path

import click
import msgspec

from canary.errors import ExitCode, RecordDiffers, UsageError
from canary.judge import InconsistentRecord, judge, same_judgement
from gateway.contracts.evaluations import Evaluation, Judgement, Outcome, worst


@click.command("judge")
@click.argument("record", metavar="RECORD", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def judge_command(*, record: Path) -> ExitCode:
    """Judge a record again, as `canary report ID --format json` prints it, and compare with what it says.

    Exit status as of the run: that of its verdicts, where the record holds the same. 12 where it does not.
    """
    evaluation = _read(record)
    try:
        judgements = judge(evaluation)
    except InconsistentRecord as error:
        raise RecordDiffers(f"{record} contradicts itself: {error}") from error
    for judgement in judgements:
        click.echo(_in_words(evaluation, judgement))
    difference = _difference(evaluation, judgements)
    if difference is not None:
        raise RecordDiffers(f"{record} holds another judgement: {difference}")
    if evaluation.judgements:
        click.echo(f"The record says the same of {'it' if len(judgements) == 1 else 'each of them'}.")
    outcomes = [judgement.verdict.outcome for judgement in judgements]
    if not outcomes:
        raise UsageError(f"{record} has no candidate")
    return ExitCode.of(Outcome.PASSED if Outcome.PASSED in outcomes else worst(outcomes))


def _read(path: Path) -> Evaluation:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} is no record of an evaluation: {error}") from error


def _difference(evaluation: Evaluation, judgements: tuple[Judgement, ...]) -> str | None:
    """Return the first difference from the record's own judgements; a record without any says nothing."""
    if not evaluation.judgements:
        return None
    if len(evaluation.judgements) != len(judgements):
        return f"{len(evaluation.judgements)} judgements of {len(judgements)} candidates"
    pairs = zip(evaluation.judgements, judgements, strict=True)
    return next((found for recorded, again in pairs if (found := same_judgement(recorded, again)) is not None), None)


def _in_words(evaluation: Evaluation, judgement: Judgement) -> str:
    reference = next(
        system.variant.reference
        for system in evaluation.candidates
        if system.variant.digest == judgement.variant_digest
    )
    decided_by = ", ".join(judgement.verdict.decided_by) or "no required criterion"
    stopping = judgement.stopping
    read = "" if stopping is None else f", after {stopping.cases} of {stopping.planned} planned cases"
    return f"{reference}: {judgement.verdict.outcome}, decided by {decided_by}{read}"
