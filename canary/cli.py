"""The command line: judge candidates, promote the winner, roll back, and read what is recorded."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import click
import stamina.instrumentation
from rich.console import Console

from canary import report as rendering
from canary.client import GatewayClient
from canary.errors import CanaryError, ExitCode, UsageError
from canary.history import render_history
from canary.progress import RunProgress
from canary.record_cli import judge_command
from canary.report import recorded
from canary.suite import Suite, default_search_path, find_suite, load_suite
from canary.suite_cli import suite as suite_commands
from canary.workflow import (
    CandidateFate,
    Fate,
    evaluate,
    find_deployment,
    find_evaluation,
    line_up,
    promote_by_override,
    promote_winner,
    roll_back,
    without_incumbent,
)
from gateway.contracts.deployments import Deployment
from gateway.contracts.evaluations import Evaluation, Outcome, worst

DEFAULT_URL = "http://127.0.0.1:8080"
PLAIN_WIDTH = 140
"""Columns of a matrix that goes to a file or a pipe."""


_gateway_option = click.option(
    "--gateway", "url", envvar="GATEWAY_URL", default=DEFAULT_URL, show_default=True, help="The gateway's address."
)
_model_option = click.option("--for", "model", metavar="MODEL", help="The public model; optional where there is one.")
_suite_option = click.option("--suite", help="A suite's name or path; by default the Deployment's, with its tag.")
_tag_option = click.option("--tag", help="Run only the cases with this tag.")
_cut_option = click.option(
    "--cut-streams",
    is_flag=True,
    help="Where both engines do not fit: cut what has not ended at the gateway's limit, instead of failing then.",
)
_candidates_argument = click.argument("candidates", metavar="MODEL...", nargs=-1, required=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gateway-canary")
@click.option("--debug", is_flag=True, help="Show the traceback of a crash.")
def cli(*, debug: bool) -> None:
    """Decide whether a candidate may replace the model that serves.

    A MODEL is a directory (./path or /path), a registered variant's name, or a Hugging Face repository id.
    The gateway's key, where it needs one, is read from GATEWAY_API_KEY.

    Exit status: 0 passed, 10 failed, 11 inconclusive, 12 errored or no gateway, 13 not promoted, 2 usage, 1 a crash.
    """
    del debug  # run() reads it, also where the arguments cannot be parsed


@cli.command("evaluate")
@_candidates_argument
@_suite_option
@_tag_option
@_model_option
@_gateway_option
def evaluate_command(
    *, candidates: tuple[str, ...], suite: str | None, tag: str | None, model: str | None, url: str
) -> ExitCode:
    """Judge one or several candidates against the incumbent, and record it."""
    with _gateway(url) as gateway, _progress() as progress:
        deployment = find_deployment(gateway, model)
        chosen = _suite_for(deployment, suite, tag)
        lineup = line_up(gateway, deployment, candidates)
        with ExitStack() as engines:
            evaluation = evaluate(gateway, lineup, chosen, engines=engines, progress=progress)
    rendering.render_terminal(evaluation, _output())
    return _exit_code(evaluation)


@cli.command()
@_candidates_argument
@_suite_option
@_tag_option
@_model_option
@_gateway_option
@click.option("--override", "reason", metavar="REASON", help="Promote without an evaluation; the reason is recorded.")
@_cut_option
def promote(
    *,
    candidates: tuple[str, ...],
    suite: str | None,
    tag: str | None,
    model: str | None,
    url: str,
    reason: str | None,
    cut_streams: bool,
) -> ExitCode:
    """Judge candidates and promote the best one that passes."""
    if reason is not None and not reason.strip():
        raise UsageError("--override needs a reason: it is all that the audit log will say")
    if reason is not None and len(candidates) != 1:
        raise UsageError("--override takes exactly one model")
    with _gateway(url) as gateway, _progress() as progress:
        deployment = find_deployment(gateway, model)
        if reason is not None:
            lineup = without_incumbent(line_up(gateway, deployment, candidates), progress)
            promote_by_override(gateway, lineup, reason, cut_streams=cut_streams)
            click.echo(f"{lineup.candidates[0].reference}: {Fate.PROMOTED} by override")
            return ExitCode.PASSED
        # Before the candidates: a mistake in the suite's name must not cost the reading of a model.
        chosen = _suite_for(deployment, suite, tag)
        lineup = without_incumbent(line_up(gateway, deployment, candidates), progress)
        with ExitStack() as engines:
            evaluation = evaluate(gateway, lineup, chosen, engines=engines, progress=progress)
            rendering.render_terminal(evaluation, _output())
            fates = promote_winner(gateway, evaluation, cut_streams=cut_streams)
    _print_fates(fates)
    if any(fate.fate is Fate.PROMOTED for fate in fates):
        return ExitCode.PASSED
    verdict = _exit_code(evaluation)
    return ExitCode.NOT_PROMOTED if verdict is ExitCode.PASSED else verdict


@cli.command()
@_model_option
@_gateway_option
@_cut_option
def rollback(*, model: str | None, url: str, cut_streams: bool) -> ExitCode:
    """Make the previous incumbent serve again."""
    with _gateway(url) as gateway:
        deployment = find_deployment(gateway, model)
        click.echo(f"{deployment.model} is back on {roll_back(gateway, deployment, cut_streams=cut_streams)}")
    return ExitCode.PASSED


@cli.command()
@_model_option
@_gateway_option
def history(*, model: str | None, url: str) -> ExitCode:
    """List the evaluations of a model and the changes of its incumbent."""
    with _gateway(url) as gateway:
        deployment = find_deployment(gateway, model)
        evaluations = [each for each in gateway.evaluations() if each.model == deployment.model]
        references = {view.digest: view.reference for view in gateway.variants()}
        render_history(gateway.promotions(deployment.model), evaluations, references, _output())
    return ExitCode.PASSED


@cli.command()
@click.argument("evaluation_id", metavar="ID", required=False)
@click.option("--recorded", "recorded_suite", metavar="SUITE", help="A suite's recorded figures, by name or path.")
@click.option("--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True)
@_gateway_option
def report(*, evaluation_id: str | None, recorded_suite: str | None, form: str, url: str) -> ExitCode:
    """Print a recorded evaluation, or the figures that a suite carries from before."""
    if recorded_suite is not None:
        if evaluation_id is not None or form != "md":
            raise UsageError("--recorded SUITE takes no ID, and prints with --format md")
        figures = recorded.load_recorded(find_suite(recorded_suite, default_search_path(os.environ)))
        click.echo(recorded.render_markdown_recorded(figures))
        return ExitCode.PASSED
    if evaluation_id is None:
        raise UsageError("give the ID of an evaluation (`canary history` lists them), or --recorded SUITE")
    with _gateway(url) as gateway:
        evaluation = find_evaluation(gateway, evaluation_id)
    click.echo(rendering.render_json(evaluation) if form == "json" else rendering.render_markdown(evaluation))
    return ExitCode.PASSED


cli.add_command(judge_command)
cli.add_command(suite_commands)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; whatever goes wrong is one line on standard error."""
    # Retries are part of a trial, and stamina would log each.
    stamina.instrumentation.set_on_retry_hooks([])
    try:
        return int(cli.main(list(arguments), prog_name="canary", standalone_mode=False) or 0)
    except CanaryError as error:
        return _complain(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", ExitCode.INTERRUPTED)
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _complain(
            f"a bug in canary, {type(error).__name__}: {error}; run it again as `canary --debug ...` to see where",
            ExitCode.CRASHED,
        )


def _complain(sentence: str, code: ExitCode) -> ExitCode:
    click.echo(f"canary: {sentence}", err=True)
    return code


def _gateway(url: str) -> GatewayClient:
    return GatewayClient(url, api_key=os.environ.get("GATEWAY_API_KEY"))


def _progress() -> RunProgress:
    return RunProgress(Console(stderr=True))


def _output() -> Console:
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def _suite_for(deployment: Deployment, suite: str | None, tag: str | None) -> Suite:
    """Return the suite that was asked for; where none was, the one that the Deployment's gate demands."""
    gate = deployment.gate
    chosen_tag = tag if tag is not None or suite is not None else gate.tag
    return load_suite(suite or gate.suite, search_path=default_search_path(os.environ), tag=chosen_tag)


def _exit_code(evaluation: Evaluation) -> ExitCode:
    """Return 0 where at least one candidate passed, else the worst outcome's status."""
    outcomes = [judgement.verdict.outcome for judgement in evaluation.judgements]
    return ExitCode.of(Outcome.PASSED if Outcome.PASSED in outcomes else worst(outcomes))


def _print_fates(fates: Sequence[CandidateFate]) -> None:
    click.echo()
    for fate in fates:
        if fate.fate is not Fate.REFUSED:
            click.echo(f"{fate.reference}: {fate.fate}")
            continue
        click.echo(f"{fate.reference}: {fate.fate}:")
        for reason in fate.reasons:
            click.echo(f"  - {reason}")
