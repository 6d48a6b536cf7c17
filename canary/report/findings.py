"""What a person would point out in a run's figures, in sentences. Every number here is in the tables too."""

from collections.abc import Iterator, Sequence

import msgspec

from canary.judge import memory_figure
from canary.report.differences import Compared, compared
from canary.report.flips import FlippedCases
from canary.report.latency import time_ratios
from canary.report.quantities import amount, gib, level, percent, seconds
from canary.report.systems import Contestant
from gateway.contracts.evaluations import Evaluation, Judgement, Metric, Outcome, System

_NEAR_LIMIT_RATIO = 0.9
"""Of the memory limit, near which MLX becomes slow."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Of one candidate."""

    label: str
    sentences: tuple[str, ...]


def findings(
    evaluation: Evaluation, entered: Sequence[Contestant], flips: Sequence[FlippedCases]
) -> tuple[Findings, ...]:
    return tuple(
        Findings(
            label=candidate.label,
            sentences=(
                *_accuracy(evaluation, judgement),
                *_flips(flipped),
                *_fidelity(judgement),
                *_times(evaluation, judgement, position),
                *_memory(evaluation, position),
                *_stopping(judgement),
                *_undecided(judgement),
            ),
        )
        for position, (candidate, judgement, flipped) in enumerate(
            zip(entered[1:], evaluation.judgements, flips, strict=True), 1
        )
    )


def _accuracy(evaluation: Evaluation, judgement: Judgement) -> Iterator[str]:
    of_grades = [each for each in compared(evaluation, judgement) if each.comparison.metric.higher_is_better]
    for each in of_grades:
        if each.comparison.category is None:
            yield f"{each.title}: {_against(each)}."
    losses = [each for each in of_grades if each.comparison.category is not None and each.difference < 0]
    if losses:
        worst = min(losses, key=lambda each: each.difference)
        yield f"It loses most in one category, {worst.name}: {_against(worst)}."


def _against(each: Compared) -> str:
    comparison, metric = each.comparison, each.comparison.metric
    spread = f" (95% interval {each.interval})" if each.interval else ""
    levels = f"{level(comparison.candidate, metric)} against {level(comparison.incumbent, metric)}"
    return f"{levels}, {each.change}{spread}"


def _flips(flipped: FlippedCases) -> Iterator[str]:
    lost, gained = len(flipped.lost), len(flipped.gained)
    if lost or gained:
        yield f"Of all cases tried it does worse than the incumbent on {_cases(lost)}, and better on {_cases(gained)}."


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _fidelity(judgement: Judgement) -> Iterator[str]:
    if judgement.fidelity is not None and judgement.fidelity.rejected:
        yield f"It was rejected before any trial: {'; '.join(judgement.fidelity.findings)}."


def _times(evaluation: Evaluation, judgement: Judgement, position: int) -> Iterator[str]:
    if any(system.dequantised for system in evaluation.systems):
        yield "Its times are not the product's: the weights were dequantised at load."
        return
    for ratio in time_ratios(evaluation, position):
        if ratio.metric is Metric.END_TO_END_S and ratio.value is not None:
            bounds = "" if ratio.low is None else f" (bounds {ratio.low:.3f} to {ratio.high:.3f})"
            requests = "one request" if ratio.concurrency == 1 else f"{ratio.concurrency} requests"
            yield f"With {requests} at a time an answer takes {ratio.value:.3f} of the incumbent's time{bounds}."
    for each in compared(evaluation, judgement):
        if evaluation.latency is None and each.comparison.metric is Metric.GENERATION_TIME_S:
            yield f"Generation time: {_against(each)}."


def _memory(evaluation: Evaluation, position: int) -> Iterator[str]:
    ours, theirs = evaluation.systems[position], evaluation.incumbent
    yield (
        f"Its weights take {gib(ours.predicted_bytes)} of memory against {gib(theirs.predicted_bytes)}"
        f"{_change(ours, theirs)}, and load in {seconds(ours.load_time_s)} against {seconds(theirs.load_time_s)}."
    )
    for record in evaluation.memory:
        peak = memory_figure(record, Metric.MEMORY_PEAK_RATIO) if record.system == position else None
        if peak is not None:
            near = ", near which MLX becomes slow" if peak >= _NEAR_LIMIT_RATIO else ""
            yield f"At {record.context_tokens:,} tokens it reaches {percent(peak)} of the memory limit{near}."


def _change(ours: System, theirs: System) -> str:
    if not theirs.predicted_bytes or ours.predicted_bytes == theirs.predicted_bytes:
        return ""
    return f" ({100 * (ours.predicted_bytes / theirs.predicted_bytes - 1):+.1f}%)"


def _stopping(judgement: Judgement) -> Iterator[str]:
    stopping = judgement.stopping
    if stopping is not None and stopping.cases < stopping.planned:
        yield f"{stopping.cases} of {stopping.planned} planned cases were enough to decide."


def _undecided(judgement: Judgement) -> Iterator[str]:
    for result in judgement.results:
        if result.outcome is Outcome.INCONCLUSIVE and result.required and result.more_cases is not None:
            demanded = amount(result.criterion.bound, result.criterion).removeprefix("+")
            yield f"About {result.more_cases:,} more cases would settle {result.criterion.name} ({demanded})."
