"""Judge every candidate of a run, and compare two judgements of one run."""

import math
from collections.abc import Iterator

import msgspec

from canary.judge.comparisons import compare_all
from canary.judge.criteria import apply_to_figure
from canary.judge.evidence import Evidence, collect_evidence
from canary.judge.fidelity import fidelity_of
from canary.judge.reading import read, read_so_far
from canary.judge.timing import read_times
from canary.judge.verdict import decide
from gateway.contracts.evaluations import Comparison, CriterionResult, Evaluation, Judgement, Level
from gateway.contracts.fidelity import FidelityJudgement

TOLERANCE = 1e-9
"""Two machines may differ in the last digits of an interval, never in a count or an outcome."""


def judge(evaluation: Evaluation) -> tuple[Judgement, ...]:
    """Return one judgement a candidate, in the order of the systems; whatever judgements the record holds are ignored.

    Raises InconsistentRecord where the record contradicts itself.
    """
    incumbent, *candidates = collect_evidence(evaluation)
    return tuple(_judge_candidate(evaluation, candidate, incumbent) for candidate in candidates)


class Watch:
    """Says of each candidate of a run that goes on whether its rule has stopped; under profile `seed`, never.

    Asked after every case, of one run alone: it remembers the looks that were taken.
    """

    def __init__(self) -> None:
        self._looks_behind: dict[int, int] = {}

    def stopped(self, evaluation: Evaluation) -> tuple[bool, ...]:
        """`evaluation` holds the trials so far, and fidelity.

        A candidate that has stopped needs no further trial, and one that fidelity rejects needs none at all.
        """
        incumbent, *candidates = collect_evidence(evaluation)
        return tuple(
            self._has_stopped(evaluation, number, candidate, incumbent) for number, candidate in enumerate(candidates)
        )

    def _has_stopped(self, evaluation: Evaluation, number: int, candidate: Evidence, incumbent: Evidence) -> bool:
        fidelity = fidelity_of(evaluation, candidate.system)
        if fidelity is not None and fidelity.rejected:
            return True
        if evaluation.profile == "seed":
            return False
        behind = self._looks_behind.get(number, 0)
        reading = read_so_far(evaluation, candidate, incumbent, looks_behind=behind)
        if not isinstance(reading, int):
            return True
        self._looks_behind[number] = reading
        return False


def same_judgement(a: Judgement, b: Judgement) -> str | None:
    """Return the first difference in words, or None where both say the same.

    Outcomes, names and counts must be equal, other numbers within 1e-9; reasons are words about these and not compared.
    """
    return next(_differences(a, b), None)


def _judge_candidate(evaluation: Evaluation, candidate: Evidence, incumbent: Evidence) -> Judgement:
    stopping, fidelity = None, fidelity_of(evaluation, candidate.system)
    if evaluation.profile == "seed":
        results = tuple(
            apply_to_figure(criterion, candidate, incumbent, min_pairs=evaluation.min_pairs)
            for criterion in evaluation.criteria
        )
    else:
        reading = read(evaluation, *read_times(evaluation, candidate, incumbent))
        candidate, incumbent = reading.candidate, reading.incumbent
        results, stopping = reading.results, reading.stopping
    return Judgement(
        variant_digest=candidate.system.variant.digest,
        comparisons=compare_all(candidate, incumbent, tuple(evaluation.suite.categories)),
        results=results,
        verdict=decide(results, fidelity),
        stopping=stopping,
        fidelity=fidelity,
    )


def _differences(a: Judgement, b: Judgement) -> Iterator[str]:
    yield from _unequal("variant", a.variant_digest, b.variant_digest)
    yield from _unequal("verdict", a.verdict.outcome, b.verdict.outcome)
    yield from _unequal("deciding criteria", a.verdict.decided_by, b.verdict.decided_by)
    yield from _unequal("stopping point", a.stopping, b.stopping)
    yield from _fidelity_differences(a.fidelity, b.fidelity)
    yield from _unequal("number of criteria", len(a.results), len(b.results))
    yield from _unequal("number of comparisons", len(a.comparisons), len(b.comparisons))
    for one, other in zip(a.results, b.results, strict=False):
        yield from _result_differences(one, other)
    for one, other in zip(a.comparisons, b.comparisons, strict=False):
        yield from _comparison_differences(one, other)


def _fidelity_differences(a: FidelityJudgement | None, b: FidelityJudgement | None) -> Iterator[str]:
    if a is None or b is None:
        yield from _unequal("fidelity", a, b)
        return
    yield from _unequal("fidelity: rejected", a.rejected, b.rejected)
    yield from _unequal("fidelity: number of findings", len(a.findings), len(b.findings))
    for name, one in msgspec.structs.asdict(a).items():
        if name not in {"rejected", "findings"}:
            yield from _apart(f"fidelity: {name}", one, getattr(b, name))


def _result_differences(a: CriterionResult, b: CriterionResult) -> Iterator[str]:
    where = f"criterion {a.criterion.name}"
    yield from _unequal(where, a.criterion, b.criterion)
    yield from _unequal(f"{where}: outcome", a.outcome, b.outcome)
    yield from _unequal(f"{where}: required", a.required, b.required)
    yield from _unequal(f"{where}: n", a.n, b.n)
    yield from _unequal(f"{where}: families", a.families, b.families)
    yield from _apart(f"{where}: observed", a.observed, b.observed)
    yield from _apart(f"{where}: low", a.low, b.low)
    yield from _apart(f"{where}: high", a.high, b.high)


def _comparison_differences(a: Comparison, b: Comparison) -> Iterator[str]:
    where = f"comparison {a.metric}" + (f" of category {a.category}" if a.category else "")
    yield from _unequal(where, (a.metric, a.category), (b.metric, b.category))
    yield from _unequal(f"{where}: pairs", a.pairs, b.pairs)
    yield from _level_differences(f"{where}: candidate", a.candidate, b.candidate)
    yield from _level_differences(f"{where}: incumbent", a.incumbent, b.incumbent)
    yield from _apart(f"{where}: difference", a.difference, b.difference)
    yield from _apart(f"{where}: difference, low", a.difference_low, b.difference_low)
    yield from _apart(f"{where}: difference, high", a.difference_high, b.difference_high)


def _level_differences(where: str, a: Level, b: Level) -> Iterator[str]:
    yield from _unequal(f"{where}, n", a.n, b.n)
    yield from _apart(f"{where}, value", a.value, b.value)
    yield from _apart(f"{where}, low", a.low, b.low)
    yield from _apart(f"{where}, high", a.high, b.high)


def _unequal(what: str, a: object, b: object) -> Iterator[str]:
    if a != b:
        yield f"{what}: {a} against {b}"


def _apart(what: str, a: float | None, b: float | None) -> Iterator[str]:
    if a is None or b is None:
        yield from _unequal(what, a, b)
    elif not math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        yield f"{what}: {a} against {b}"
