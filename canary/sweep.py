"""`canary sweep`: one model at several bit widths, built by the gateway, and what each width costs and gains."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from canary.builds import build
from canary.client import GatewayClient
from canary.errors import UsageError
from canary.judge.comparisons import judged_bytes
from canary.report.contest import DEQUANTISED
from canary.report.quantities import NOT_MEASURED, gib, level, seconds
from canary.report.systems import Contestant, contestants
from canary.report.table import Table
from canary.workflow import register
from gateway.contracts.admin import VariantView
from gateway.contracts.builds import Bits, BuildKind, BuildRequest, BuildView, GroupSize
from gateway.contracts.evaluations import Evaluation, Metric, Outcome
from gateway.contracts.winner import choose_winner

WIDTHS: tuple[int, ...] = get_args(Bits)
GROUP_SIZES: tuple[int, ...] = get_args(GroupSize)


class _Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Of one system, by what the front is drawn; less is better in each."""

    label: str
    error: float | None
    """1 minus the accuracy; None where it was not tried."""
    memory_bytes: int
    disk_bytes: int
    time_s: float | None
    """None where times do not count, or were not taken of it."""

    @property
    def figures(self) -> tuple[float | None, ...]:
        return self.error, self.memory_bytes, self.disk_bytes, self.time_s


def read_widths(text: str) -> tuple[int, ...]:
    """Return the bit widths of `4,5,8`. Raises UsageError for what is none, and for one that is given twice."""
    allowed = ", ".join(map(str, WIDTHS))
    parts = [part.strip() for part in text.split(",")]
    unknown = [part for part in parts if part not in set(map(str, WIDTHS))]
    if unknown:
        raise UsageError(f"--bits {text}: {unknown[0]!r} is no width; there are {allowed}")
    if len(set(parts)) < len(parts):
        raise UsageError(f"--bits {text}: a width is given twice")
    return tuple(map(int, parts))


def build_widths(
    gateway: GatewayClient,
    source: str,
    widths: Sequence[int],
    *,
    adapter: Path | None,
    group_size: int,
    note: Callable[[str], None],
) -> tuple[BuildView, ...]:
    """Have the model built at each width, with the adapter fused in float before, and return the builds.

    Raises UsageError where one cannot be built. What was built until then is there at once the next time.
    """
    model = str(Path(source).resolve()) if Path(source).is_dir() else register(gateway, source).reference
    order = {
        "kind": BuildKind.QUANTISE if adapter is None else BuildKind.FUSE,
        "model": model,
        "adapter": None if adapter is None else str(adapter.resolve()),
        "group_size": group_size,
    }
    return tuple(build(gateway, msgspec.convert({**order, "bits": bits}, BuildRequest), note) for bits in widths)


def is_twice_quantised(builds: Sequence[BuildView], known: Sequence[BuildView]) -> bool:
    """Whether any was made of a quantised base, itself or by the model in float that it was made of."""
    of_path = {view.path: view.provenance for view in known}
    made = [view.provenance for view in builds]
    sources = [of_path.get(provenance.reference or "") for provenance in made if provenance is not None]
    return any(provenance.dequantised_base for provenance in (*made, *sources) if provenance is not None)


def pareto_table(evaluation: Evaluation, *, twice_quantised: bool) -> Table:
    """Return what each system costs, and which of them no other equals or beats in everything."""
    entered = contestants(evaluation)
    outcomes = ["", *(judgement.verdict.outcome for judgement in evaluation.judgements)]
    costs = [_costs_of(each, is_timed=_is_timed(evaluation)) for each in entered]
    return Table(
        title="Sweep",
        header=("System", "Accuracy", "End to end, mean", "Memory", "Disk", "Verdict", "On the Pareto front"),
        rows=tuple(
            (
                f"{each.label} ({each.system.role})",
                _accuracy(each),
                _time(evaluation, each),
                gib(judged_bytes(each.system)),
                gib(each.system.disk_bytes),
                outcome,
                _front(own, costs),
            )
            for each, outcome, own in zip(entered, outcomes, costs, strict=True)
        ),
        notes=tuple(_notes(evaluation, twice_quantised=twice_quantised)),
    )


def to_archive(evaluation: Evaluation, builds: Sequence[BuildView]) -> tuple[str, ...]:
    """Return the references of what this sweep built and nobody wants: what failed, or another beats in everything."""
    entered = contestants(evaluation)
    costs = [_costs_of(each, is_timed=_is_timed(evaluation)) for each in entered]
    winner = choose_winner(evaluation)
    paths = {view.path for view in builds}
    return tuple(
        each.system.variant.reference
        for each, own, judgement in zip(entered[1:], costs[1:], evaluation.judgements, strict=True)
        if each.system is not winner
        and each.system.variant.engine.path in paths
        and (judgement.verdict.outcome is Outcome.FAILED or _beaten_by(own, costs) is not None)
    )


def float_sources(
    evaluation: Evaluation, builds: Sequence[BuildView], known: Sequence[BuildView], variants: Sequence[VariantView]
) -> tuple[str, ...]:
    """Return the references of the fused models in float that the widths were made of, where they are registered."""
    serves = evaluation.incumbent.variant.digest
    made = {view.path for view in known}
    sources = {view.provenance.reference for view in builds if view.provenance is not None} & made
    return tuple(
        view.reference
        for view in variants
        if view.variant.engine.path in sources and view.archived_at is None and view.digest != serves
    )


def _notes(evaluation: Evaluation, *, twice_quantised: bool) -> Iterator[str]:
    if twice_quantised:
        yield (
            "The base was quantised, and was dequantised before anything else: every build keeps the error of that "
            "first quantisation beside its own."
        )
    yield "A system is off the front where another is at least as good in every figure that counts, and better in one."
    yield "Differences of accuracy within their intervals may be chance: the verdicts say what is established."
    if not _is_timed(evaluation):
        yield "Times do not count for the front: they are not the product's, or were not taken one request at a time."


def _is_timed(evaluation: Evaluation) -> bool:
    """Whether the times say something: those of trials that ran side by side, or of dequantised weights, do not."""
    taken = evaluation.profile == "seed" or (evaluation.latency is not None and bool(evaluation.latency.blocks))
    return taken and not any(system.dequantised for system in evaluation.systems)


def _costs_of(each: Contestant, *, is_timed: bool) -> _Costs:
    accuracy = _value(each, Metric.ACCURACY)
    time_s = _value(each, Metric.GENERATION_TIME_S) if is_timed else None
    return _Costs(
        label=each.label,
        error=None if accuracy is None else 1 - accuracy,
        memory_bytes=judged_bytes(each.system),
        disk_bytes=each.system.disk_bytes,
        time_s=time_s,
    )


def _beaten_by(own: _Costs, all_costs: Sequence[_Costs]) -> str | None:
    """Return the label of a system that is at least as good in all that was measured of this one, and better in one."""
    return next((other.label for other in all_costs if own.error is not None and _is_better(other, own)), None)


def _is_better(other: _Costs, own: _Costs) -> bool:
    pairs = [(theirs, ours) for theirs, ours in zip(other.figures, own.figures, strict=True) if ours is not None]
    return all(theirs is not None and theirs <= ours for theirs, ours in pairs) and any(
        theirs is not None and theirs < ours for theirs, ours in pairs
    )


def _front(own: _Costs, all_costs: Sequence[_Costs]) -> str:
    if own.error is None:
        return "not tried"
    better = _beaten_by(own, all_costs)
    return "yes" if better is None else f"no: {better} is better"


def _value(each: Contestant, metric: Metric) -> float | None:
    found = each.levels.get((metric, None))
    return None if found is None else found.value


def _accuracy(each: Contestant) -> str:
    found = each.levels.get((Metric.ACCURACY, None))
    return NOT_MEASURED if found is None else level(found, Metric.ACCURACY)


def _time(evaluation: Evaluation, each: Contestant) -> str:
    if each.system.dequantised:
        return DEQUANTISED
    time_s = _value(each, Metric.GENERATION_TIME_S) if _is_timed(evaluation) else None
    return NOT_MEASURED if time_s is None else seconds(time_s)
