"""What canary found and what it is at, as `canary_*`: of recorded Evaluations, and of the progress that it posts."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import Gauge

from gateway.contracts.evaluations import (
    Comparison,
    CriterionResult,
    Evaluation,
    Judgement,
    Level,
    Metric,
    Outcome,
    Role,
    Rule,
    Statistic,
)
from gateway.contracts.progress import RunPhase, RunProgress
from gateway.contracts.winner import foremost
from gateway.telemetry.declarations import Declarations, closed, described
from gateway.telemetry.names import BoundedNames
from gateway.telemetry.requests import MODEL

_SUITE = described("suite", "a suite's name, of an evaluation that was recorded or runs")
_OUTCOME = closed("outcome", Outcome)
_ROLE = closed("role", Role)
_BOUND = closed("bound", ["estimate", "lower", "upper"])
_NEAR_ZERO = frozenset({Metric.MEMORY_LEAK_BYTES_PER_REQUEST, Metric.SWAP_GROWTH_BYTES})
"""What should be 0 has no ratio that says anything."""
_LATENCY_AND_MEMORY = tuple(metric for metric in Metric if not metric.higher_is_better and metric not in _NEAR_ZERO)
_LAST = "Of the last recorded evaluation's winner, else of its best candidate"


class EvaluationMetrics:
    """All gauges are of the last Evaluation of each model and suite: the next replaces them all."""

    def __init__(self, declare: Declarations, models: BoundedNames, *, names_limit: int) -> None:
        self._models = models
        self._suites = BoundedNames(names_limit)
        self._criteria = BoundedNames(names_limit)
        self._categories = BoundedNames(names_limit)
        self._known: set[tuple[str, str]] = set()
        """Models and suites, of Evaluations and of runs."""
        self._recorded = declare.counter(
            "canary_evaluations",
            "Candidates judged in evaluations that were recorded since the gateway started.",
            *(MODEL, _SUITE, _OUTCOME),
        )
        self._declare_accuracy(declare)
        self._declare_verdict(declare)
        self._declare_runs(declare)

    def _declare_accuracy(self, declare: Declarations) -> None:
        self._accuracy = declare.gauge(
            "canary_accuracy_ratio", f"{_LAST}, and of the incumbent beside it.", *(MODEL, _SUITE, _ROLE)
        )
        self._accuracy_bound = declare.gauge(
            "canary_accuracy_bound_ratio",
            "Ends of the 95 % interval of canary_accuracy_ratio.",
            *(MODEL, _SUITE, _ROLE, closed("bound", ["lower", "upper"])),
        )
        self._difference = declare.gauge(
            "canary_accuracy_difference_ratio",
            f"{_LAST}: its accuracy less the incumbent's, over the cases that both have, with its 95 % interval.",
            *(MODEL, _SUITE, _BOUND),
        )
        self._category = declare.gauge(
            "canary_category_accuracy_ratio",
            "canary_accuracy_ratio of the cases of one category.",
            *(MODEL, _SUITE, described("category", "a key of the suite's categories"), _ROLE),
        )
        self._metric = declare.gauge(
            "canary_metric_ratio",
            f"{_LAST}: its figure over the incumbent's, with bounds where a criterion on the ratio has them.",
            *(MODEL, _SUITE, closed("metric", _LATENCY_AND_MEMORY), _BOUND),
        )

    def _declare_verdict(self, declare: Declarations) -> None:
        self._criterion = declare.gauge(
            "canary_criterion_outcome",
            f"{_LAST}: 1 for the outcome that the criterion had, 0 for the others.",
            *(MODEL, _SUITE, described("criterion", "a criterion's name"), _OUTCOME),
        )
        self._outcome = declare.gauge(
            "canary_evaluation_outcome",
            f"{_LAST}: 1 for its verdict's outcome, 0 for the others.",
            *(MODEL, _SUITE, _OUTCOME),
        )
        self._ended = declare.gauge(
            "canary_evaluation_timestamp_seconds",
            "Unix time at which the last recorded evaluation ended; `time()` less this is its age.",
            *(MODEL, _SUITE),
        )

    def _declare_runs(self, declare: Declarations) -> None:
        self._running = declare.gauge(
            "canary_evaluation_running",
            "1 while an evaluation runs and is heard of, 0 where one ran.",
            *(MODEL, _SUITE),
        )
        self._progress = declare.gauge(
            "canary_evaluation_progress_ratio",
            "Trials done over trials planned, while an evaluation runs; it may end early.",
            *(MODEL, _SUITE),
        )
        self._phase = declare.gauge(
            "canary_evaluation_phase",
            "While an evaluation runs, 1 for what it is at, 0 for the other phases.",
            *(MODEL, _SUITE, closed("phase", RunPhase)),
        )

    def recorded(self, evaluation: Evaluation) -> None:
        """Count an Evaluation that was recorded now, and show it."""
        labels = self._labels(evaluation.model, evaluation.suite.name)
        for judgement in evaluation.judgements:
            self._recorded.labels(*labels, judgement.verdict.outcome.value).inc()
        self._show(evaluation)

    def restored(self, evaluations: Iterable[Evaluation]) -> None:
        """Show Evaluations of before the start, the last recorded at the end; they are not counted again."""
        for evaluation in evaluations:
            self._show(evaluation)

    def runs_observed(self, runs: Iterable[RunProgress]) -> None:
        """Set the gauges of runs from those that go on now; of several of one model and suite, from the last."""
        self._progress.clear()
        self._phase.clear()
        going_on = {self._labels(run.model, run.suite): run for run in runs}
        self._known |= going_on.keys()
        for labels in self._known:
            self._running.labels(*labels).set(int(labels in going_on))
        for labels, run in going_on.items():
            self._progress.labels(*labels).set(run.trials_ratio)
            for phase in RunPhase:
                self._phase.labels(*labels, phase.value).set(int(phase is run.phase))

    def _show(self, evaluation: Evaluation) -> None:
        """Show an Evaluation in place of the one before it of its model and suite."""
        judgement = foremost(evaluation)
        if judgement is None:
            return
        model, suite = labels = self._labels(evaluation.model, evaluation.suite.name)
        for gauge in (
            *(self._accuracy, self._accuracy_bound, self._difference, self._category),
            *(self._metric, self._criterion, self._outcome),
        ):
            gauge.remove_by_labels({"model": model, "suite": suite})
        self._known.add(labels)
        self._ended.labels(*labels).set(datetime.fromisoformat(evaluation.created_at).timestamp())
        self._show_accuracies(labels, judgement.comparisons)
        self._show_ratios(labels, judgement)
        self._show_verdict(labels, judgement)

    def _show_accuracies(self, labels: tuple[str, str], comparisons: Iterable[Comparison]) -> None:
        for comparison in comparisons:
            if comparison.metric is not Metric.ACCURACY:
                continue
            levels = {Role.CANDIDATE: comparison.candidate, Role.INCUMBENT: comparison.incumbent}
            if comparison.category is None:
                self._show_overall(labels, comparison, levels)
                continue
            category = self._categories.admit(comparison.category)
            for role, level in levels.items():
                _set(self._category, level.value, *labels, category, role.value)

    def _show_overall(self, labels: tuple[str, str], comparison: Comparison, levels: dict[Role, Level]) -> None:
        for role, level in levels.items():
            _set(self._accuracy, level.value, *labels, role.value)
            for bound, end in (("lower", level.low), ("upper", level.high)):
                _set(self._accuracy_bound, end, *labels, role.value, bound)
        bounds = (comparison.difference, comparison.difference_low, comparison.difference_high)
        for bound, value in zip(_BOUND.values, bounds, strict=True):
            _set(self._difference, value, *labels, bound)

    def _show_ratios(self, labels: tuple[str, str], judgement: Judgement) -> None:
        """Show each ratio as the criterion on it has it; else that of the two levels, which has no bounds."""
        judged = {result.criterion.metric: result for result in judgement.results if _is_of_ratio(result)}
        for comparison in judgement.comparisons:
            ours, theirs = comparison.candidate.value, comparison.incumbent.value
            if comparison.metric not in _LATENCY_AND_MEMORY or ours is None or theirs is None or theirs <= 0:
                continue
            bounds: tuple[float | None, ...] = (ours / theirs, None, None)
            if (result := judged.get(comparison.metric)) is not None:
                bounds = tuple(None if it is None else 1 + it for it in (result.observed, result.low, result.high))
            for bound, value in zip(_BOUND.values, bounds, strict=True):
                _set(self._metric, value, *labels, comparison.metric.value, bound)

    def _show_verdict(self, labels: tuple[str, str], judgement: Judgement) -> None:
        had = {(self._criteria.admit(result.criterion.name), result.outcome) for result in judgement.results}
        for criterion in {criterion for criterion, _ in had}:
            for outcome in Outcome:
                self._criterion.labels(*labels, criterion, outcome.value).set(int((criterion, outcome) in had))
        for outcome in Outcome:
            self._outcome.labels(*labels, outcome.value).set(int(outcome is judgement.verdict.outcome))

    def _labels(self, model: str, suite: str) -> tuple[str, str]:
        return self._models.find(model), self._suites.admit(suite)


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    """Show a value; of one that is not known there is no series."""
    if value is not None:
        gauge.labels(*labels).set(value)


def _is_of_ratio(result: CriterionResult) -> bool:
    """Say whether the criterion is on the ratio over all trials, of requests that ran one at a time."""
    criterion = result.criterion
    return (
        criterion.rule is Rule.NO_WORSE_THAN
        and criterion.statistic is Statistic.RATIO
        and result.observed is not None
        and criterion.category is None
        and criterion.tag is None
        and criterion.concurrency in {None, 1}
    )
