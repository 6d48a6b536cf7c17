"""`canary_*` shows the last Evaluation of each model and suite, and the runs that go on; and nobody grows it."""

import msgspec
import pytest

from canary.judge import judge
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Rule, Statistic
from gateway.contracts.progress import RunPhase, RunProgress
from gateway.settings import MetricsSettings
from gateway.telemetry.metrics import Metrics
from tests.support.evaluations import make_evaluation
from tests.support.scraping import samples_in

LABELS = "model=tutor,suite=smoke"
FLOOR = Criterion(name="floor", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.9)
SLOWER = Criterion(
    name="slower",
    metric=Metric.GENERATION_TIME_S,
    rule=Rule.NO_WORSE_THAN,
    bound=0.1,
    statistic=Statistic.RATIO,
    required=False,
)
RUN = RunProgress(
    id="run-1",
    model="tutor",
    suite="smoke",
    incumbent="tutor@aaaaaaaa",
    candidates=("tutor-5bit@bbbbbbbb",),
    phase=RunPhase.TRIALS,
    trials_done=10,
    trials_total=40,
)


def metrics_of(limit: int = 32) -> Metrics:
    metrics = Metrics(MetricsSettings(max_label_values=limit))
    metrics.deployments.incumbent_changed(model="tutor", variant="tutor-8bit", digest="a" * 64)
    return metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Return `name{label=value,...}` and value of every sample of canary's."""
    found = samples_in(metrics.render()[0].decode())
    return {name: value for name, value in found.items() if name.startswith("canary_")}


def judged(**changes: object) -> Evaluation:
    """Return an Evaluation whose candidate gets half of the second category wrong and takes twice the time."""
    bare = make_evaluation(
        {"a": [1.0] * 12, "b": [1.0] * 6 + [0.0, 1.0] * 3},
        times_s={"a": [1.0] * 12, "b": [2.0] * 12},
        categories=["easy"] * 6 + ["hard"] * 6,
        criteria=[FLOOR, SLOWER],
    )
    evaluation = msgspec.structs.replace(bare, **changes)
    return msgspec.structs.replace(evaluation, judgements=judge(evaluation))


def test_accuracies_are_shown_with_their_intervals_and_by_category() -> None:
    metrics = metrics_of()
    metrics.evaluations.recorded(judged())
    found = samples(metrics)
    assert found["canary_accuracy_ratio{model=tutor,role=candidate,suite=smoke}"] == 0.75
    bounds = [
        found[f"canary_accuracy_bound_ratio{{bound={bound},model=tutor,role=candidate,suite=smoke}}"]
        for bound in ("lower", "upper")
    ]
    assert 0 < bounds[0] < 0.75 < bounds[1] < 1
    difference = [
        found[f"canary_accuracy_difference_ratio{{bound={bound},{LABELS}}}"] for bound in ("lower", "estimate", "upper")
    ]
    assert difference[1] == -0.25
    assert difference == sorted(difference)
    for category, role, value in (("easy", "candidate", 1), ("hard", "candidate", 0.5), ("hard", "incumbent", 1)):
        name = f"canary_category_accuracy_ratio{{category={category},model=tutor,role={role},suite=smoke}}"
        assert found[name] == value


def test_outcomes_are_1_and_the_others_0() -> None:
    metrics = metrics_of()
    metrics.evaluations.recorded(judged())
    found = samples(metrics)
    for outcome in ("passed", "inconclusive", "errored", "failed"):
        of_criterion = f"canary_criterion_outcome{{criterion=floor,model=tutor,outcome={outcome},suite=smoke}}"
        of_verdict = f"canary_evaluation_outcome{{model=tutor,outcome={outcome},suite=smoke}}"
        assert found[of_criterion] == found[of_verdict] == (outcome == "failed")
    assert found[f"canary_evaluation_timestamp_seconds{{{LABELS}}}"] == 1767225600


def test_of_several_candidates_the_best_is_shown_whoever_was_given_last() -> None:
    results = {"8bit": [1.0] * 10, "5bit": [1.0] * 10, "4bit": [0.0] * 10}
    evaluation = make_evaluation(results, criteria=[FLOOR])
    metrics = metrics_of()
    metrics.evaluations.recorded(msgspec.structs.replace(evaluation, judgements=judge(evaluation)))
    assert samples(metrics)["canary_accuracy_ratio{model=tutor,role=candidate,suite=smoke}"] == 1


def test_a_ratio_is_the_criterions_or_else_that_of_the_levels() -> None:
    metrics = metrics_of()
    metrics.evaluations.recorded(judged())
    found = samples(metrics)
    time = f"canary_metric_ratio{{bound=estimate,metric=generation_time_s,{LABELS}}}"
    assert found[time] == pytest.approx(2.0)
    first_token = f"canary_metric_ratio{{bound=estimate,metric=time_to_first_token_s,{LABELS}}}"
    assert found[first_token] == pytest.approx(2.0)
    of_first_token = [name for name in found if "metric=time_to_first_token_s" in name]
    assert of_first_token == [first_token]


def test_a_ratio_has_the_bounds_of_its_criterion() -> None:
    metrics = metrics_of()
    bare = judged()
    (judgement,) = bare.judgements
    results = tuple(
        msgspec.structs.replace(result, observed=1.0, low=0.75, high=1.25)
        if result.criterion.name == "slower"
        else result
        for result in judgement.results
    )
    told = msgspec.structs.replace(bare, judgements=(msgspec.structs.replace(judgement, results=results),))
    metrics.evaluations.recorded(told)
    found = samples(metrics)
    shown = {
        bound: found[f"canary_metric_ratio{{bound={bound},metric=generation_time_s,{LABELS}}}"]
        for bound in ("estimate", "lower", "upper")
    }
    assert shown == {"estimate": 2.0, "lower": 1.75, "upper": 2.25}


def test_the_next_evaluation_replaces_what_the_last_one_had() -> None:
    metrics = metrics_of()
    metrics.evaluations.recorded(judged())
    renamed = msgspec.structs.replace(FLOOR, name="other-floor")
    metrics.evaluations.recorded(judged(criteria=(renamed,), created_at="2026-01-02T00:00:00+00:00"))
    found = samples(metrics)
    assert not [name for name in found if "criterion=floor" in name or "criterion=slower" in name]
    assert found[f"canary_evaluation_timestamp_seconds{{{LABELS}}}"] == 1767225600 + 24 * 3600
    assert found["canary_evaluations_total{model=tutor,outcome=failed,suite=smoke}"] == 2


def test_what_is_read_back_at_a_start_is_shown_and_not_counted_again() -> None:
    metrics = metrics_of()
    metrics.evaluations.restored([judged()])
    found = samples(metrics)
    assert found["canary_accuracy_ratio{model=tutor,role=candidate,suite=smoke}"] == 0.75
    assert not [name for name in found if name.startswith("canary_evaluations_total")]


def test_names_beyond_the_limit_share_one_value() -> None:
    metrics = metrics_of(limit=2)
    evaluation = judged(criteria=tuple(msgspec.structs.replace(FLOOR, name=f"floor-{number}") for number in range(9)))
    for number in range(9):
        suite = msgspec.structs.replace(evaluation.suite, name=f"suite-{number}")
        metrics.evaluations.recorded(msgspec.structs.replace(evaluation, suite=suite))
        metrics.evaluations.runs_observed([msgspec.structs.replace(RUN, suite=f"run-{number}")])
    found = samples(metrics)
    suites = {part for name in found for part in name.strip("}").split(",") if part.startswith("suite=")}
    assert suites == {"suite=suite-0", "suite=run-0", "suite=other"}
    criteria_shown = {name.split("criterion=")[1].split(",")[0] for name in found if "criterion=" in name}
    assert criteria_shown == {"floor-0", "floor-1", "other"}


def test_a_name_that_nobody_could_read_is_no_label_value() -> None:
    metrics = metrics_of()
    evaluation = judged()
    suite = msgspec.structs.replace(evaluation.suite, name="x" * 10_000)
    metrics.evaluations.recorded(msgspec.structs.replace(evaluation, suite=suite))
    assert b"xxx" not in metrics.render()[0]


def test_a_run_shows_while_it_goes_on() -> None:
    metrics = metrics_of()
    metrics.evaluations.runs_observed([RUN])
    found = samples(metrics)
    assert found[f"canary_evaluation_running{{{LABELS}}}"] == 1
    assert found[f"canary_evaluation_progress_ratio{{{LABELS}}}"] == 0.25
    phases = {phase: found[f"canary_evaluation_phase{{model=tutor,phase={phase},suite=smoke}}"] for phase in RunPhase}
    assert [phase for phase, value in phases.items() if value] == [RunPhase.TRIALS]
    metrics.evaluations.runs_observed([])
    assert samples(metrics) == {f"canary_evaluation_running{{{LABELS}}}": 0}
