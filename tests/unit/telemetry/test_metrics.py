"""What is scraped says what happened, and nobody outside can grow it."""

import re
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as text_string_to_openmetrics_families

from canary.judge import judge
from gateway.contracts.admin import (
    BreakerState,
    EngineMemory,
    EngineState,
    EngineView,
    FailureReason,
    PrefixCacheCounts,
)
from gateway.contracts.deployments import Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.evaluations import Metric, Role
from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.contracts.status import MemoryStatus
from gateway.contracts.suites import SEED_CRITERIA
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.requests import CancelStage
from gateway.wire import Step
from tests.support.evaluations import make_evaluation
from tests.support.scraping import samples_in

PROMOTION = Promotion(
    id=1,
    at="2026-01-01T00:00:00Z",
    model="tutor",
    kind=PromotionKind.PROMOTE,
    outcome=PromotionOutcome.DONE,
    from_variant="a" * 64,
    to_variant="b" * 64,
    revision=2,
)

OF_CLIENT: Any = {"model": "tutor", "role": Role.INCUMBENT, "scheduling_class": SchedulingClass.INTERACTIVE}
OF_TRIAL: Any = {**OF_CLIENT, "scheduling_class": SchedulingClass.EVALUATION}

BUDGET = MemoryStatus(
    limit_bytes=100, reserve_bytes=10, planned_bytes=50, used_bytes=40, available_bytes=30, near_limit=False
)


def samples(metrics: Metrics) -> dict[str, float]:
    return samples_in(metrics.render()[0].decode())


def serving() -> Metrics:
    metrics = Metrics()
    metrics.deployments.incumbent_changed(model="tutor", variant="tutor-5bit", digest="a" * 64)
    return metrics


def engine(state: EngineState = EngineState.READY, load_time_s: float | None = 2.0) -> EngineView:
    return EngineView(
        engine_digest="e" * 64,
        variants=(),
        state=state,
        detail="",
        pid=1,
        device="cpu",
        dequantised=False,
        load_time_s=load_time_s,
        active_after_load_bytes=10,
        predicted_bytes=5,
        memory=EngineMemory(active_bytes=10, cache_bytes=20, peak_bytes=30, footprint_bytes=40),
        rows=0,
        max_rows=4,
        one_at_a_time=False,
        queued=0,
        restarts=0,
        uptime_s=1.0,
    )


def test_a_request_is_counted_with_its_durations_and_tokens() -> None:
    metrics = serving()
    metrics.requests.finished(**OF_CLIENT, status=200, duration_s=1.5, time_to_first_token_s=0.5)
    metrics.requests.tokens_counted(**OF_CLIENT, prompt=7, cached=4, completion=3)
    found = samples(metrics)
    assert found["gateway_requests_total{class=interactive,model=tutor,role=incumbent,status=200}"] == 1
    assert found["gateway_request_duration_seconds_sum{class=interactive,model=tutor,role=incumbent}"] == 1.5
    assert found["gateway_time_to_first_token_seconds_sum{class=interactive,model=tutor,role=incumbent}"] == 0.5
    assert found["gateway_tokens_total{class=interactive,model=tutor,role=incumbent,type=prompt}"] == 7
    assert found["gateway_tokens_total{class=interactive,model=tutor,role=incumbent,type=cached}"] == 4
    assert found["gateway_tokens_total{class=interactive,model=tutor,role=incumbent,type=completion}"] == 3


def test_a_request_without_a_token_has_no_time_to_the_first() -> None:
    metrics = serving()
    metrics.requests.finished(**OF_CLIENT, status=429, duration_s=0.1)
    assert not [name for name in samples(metrics) if name.startswith("gateway_time_to_first_token_seconds_count{")]


def test_an_incumbents_trial_is_told_from_what_clients_ask() -> None:
    metrics = serving()
    metrics.requests.finished(**OF_CLIENT, status=200, duration_s=0.1, time_to_first_token_s=0.1)
    for _ in range(2):
        metrics.requests.finished(**OF_TRIAL, status=500, duration_s=9.0, time_to_first_token_s=9.0)
    found = samples(metrics)
    assert found["gateway_requests_total{class=evaluation,model=tutor,role=incumbent,status=500}"] == 2
    assert found["gateway_time_to_first_token_seconds_count{class=evaluation,model=tutor,role=incumbent}"] == 2
    assert found["gateway_time_to_first_token_seconds_count{class=interactive,model=tutor,role=incumbent}"] == 1


def test_a_count_whose_labels_are_closed_is_there_before_anything_is_counted() -> None:
    found = samples(Metrics())
    for scheduling_class in SchedulingClass:
        for reason in RefusalReason:
            assert found[f"gateway_requests_refused_total{{class={scheduling_class},reason={reason}}}"] == 0


def test_names_that_clients_make_up_share_one_series() -> None:
    metrics = serving()
    for model in (*(f"model-{number}" for number in range(100)), None):
        metrics.requests.finished(model=model, role=None, scheduling_class=None, status=404, duration_s=0.01)
    counted = {name: value for name, value in samples(metrics).items() if name.startswith("gateway_requests_total")}
    assert counted == {"gateway_requests_total{class=none,model=other,role=none,status=404}": 101}


def test_suites_that_clients_make_up_end_in_one_series() -> None:
    metrics = serving()
    bare = make_evaluation({"a": [1.0] * 3, "b": [1.0] * 3})
    judged = msgspec.structs.replace(bare, judgements=judge(bare))
    for number in range(100):
        suite = msgspec.structs.replace(judged.suite, name=f"suite-{number}")
        metrics.evaluations.recorded(msgspec.structs.replace(judged, suite=suite))
    suites = {match[1] for name in samples(metrics) if (match := re.search(r"suite=([^,}]+)", name))}
    assert "other" in suites
    assert len(suites) == 33


def test_long_prompts_have_buckets() -> None:
    metrics = serving()
    metrics.requests.finished(**OF_CLIENT, status=200, duration_s=60.0, time_to_first_token_s=30.0)
    found = samples(metrics)
    bucket = "gateway_time_to_first_token_seconds_bucket{{class=interactive,le={},model=tutor,role=incumbent}}"
    assert (found[bucket.format("20.0")], found[bucket.format("40.0")]) == (0, 1)
    assert found["gateway_request_duration_seconds_bucket{class=interactive,le=81.92,model=tutor,role=incumbent}"] == 1


def test_a_digest_stands_on_the_incumbent_alone_and_ends_with_it() -> None:
    metrics = serving()
    metrics.deployments.incumbent_changed(model="tutor", variant="tutor-4bit", digest="b" * 64)
    metrics.deployments.incumbent_changed(model="other", variant="tutor-4bit", digest="b" * 64)
    metrics.deployments.promotion_finished(PROMOTION)
    metrics.engines.observed([(Role.INCUMBENT, engine())])
    with_digest = {name: value for name, value in samples(metrics).items() if re.search("[0-9a-f]{12}|digest", name)}
    assert with_digest == {
        f"gateway_incumbent_info{{digest={'b' * 64},model={model},variant=tutor-4bit}}": 1
        for model in ("tutor", "other")
    }


def test_engines_of_one_role_are_added_up() -> None:
    metrics = serving()
    metrics.engines.observed([(Role.INCUMBENT, engine()), (Role.INCUMBENT, engine(load_time_s=3.0))])
    found = samples(metrics)
    kinds = {"active": 20, "cache": 40, "peak": 60, "footprint": 80, "predicted": 10}
    for kind, size_bytes in kinds.items():
        assert found[f"gateway_engine_memory_bytes{{kind={kind},role=incumbent}}"] == size_bytes
    assert found["gateway_engine_up{role=incumbent}"] == 1
    assert found["gateway_engine_load_seconds{role=incumbent}"] == 3.0


def test_an_incumbent_that_is_not_ready_is_down_and_a_candidate_that_is_gone_is_gone() -> None:
    metrics = serving()
    metrics.engines.observed([(Role.INCUMBENT, engine()), (Role.CANDIDATE, engine())])
    assert samples(metrics)["gateway_engine_up{role=candidate}"] == 1
    restarting = engine(EngineState.RESTARTING, load_time_s=None)
    metrics.engines.observed([(Role.INCUMBENT, engine()), (Role.INCUMBENT, restarting)])
    found = samples(metrics)
    assert found["gateway_engine_up{role=incumbent}"] == 0
    gauges = ("gateway_engine_up", "gateway_engine_load", "gateway_engine_memory", "gateway_engine_breaker")
    assert not [name for name in found if name.startswith(gauges) and "role=candidate" in name]
    metrics.engines.observed([])
    assert samples(metrics)["gateway_engine_up{role=incumbent}"] == 0


def test_an_answers_tokens_are_timed() -> None:
    metrics = serving()
    times = metrics.requests.token_times(**OF_CLIENT)
    for tokens in (1, 2, 2, 4):
        times.came(tokens)
    times.ended()
    found = samples(metrics)
    assert found["gateway_inter_token_seconds_count{class=interactive,model=tutor,role=incumbent}"] == 2
    assert found["gateway_inter_token_seconds_bucket{class=interactive,le=+Inf,model=tutor,role=incumbent}"] == 2
    assert found["gateway_time_per_output_token_seconds_count{class=interactive,model=tutor,role=incumbent}"] == 1


def test_a_client_that_left_is_counted_by_how_far_its_request_was() -> None:
    metrics = serving()
    for stage in (CancelStage.QUEUED, CancelStage.DECODE, CancelStage.DECODE):
        metrics.requests.cancelled(stage)
    found = samples(metrics)
    assert found["gateway_requests_cancelled_total{stage=queued}"] == 1
    assert found["gateway_requests_cancelled_total{stage=decode}"] == 2


def exemplars(metrics: Metrics) -> set[str]:
    body, content_type = metrics.render(openmetrics=True)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    return {
        sample.exemplar.labels["request_id"]
        for family in text_string_to_openmetrics_families(body.decode())
        for sample in family.samples
        if sample.exemplar is not None
    }


@pytest.mark.parametrize("request_id", ["b1c2", "trace:01-ab.c_d", "x" * 118])
def test_a_request_is_found_by_its_exemplar(request_id: str) -> None:
    metrics = serving()
    metrics.requests.finished(**OF_CLIENT, status=200, duration_s=1.0, request_id=request_id, time_to_first_token_s=0.5)
    assert exemplars(metrics) == {request_id}
    assert request_id not in metrics.render()[0].decode()


@pytest.mark.parametrize("request_id", ["x" * 119, 'a"b', "a\\nb", "a b", "{}", "user@example.com", ""])
def test_an_id_that_is_long_or_odd_is_no_exemplar(request_id: str) -> None:
    metrics = serving()
    metrics.requests.finished(**OF_CLIENT, status=200, duration_s=1.0, request_id=request_id, time_to_first_token_s=0.5)
    assert exemplars(metrics) == set()
    assert samples(metrics)["gateway_request_duration_seconds_count{class=interactive,model=tutor,role=incumbent}"] == 1


def test_a_failure_that_is_followed_by_a_restart_counts_as_one() -> None:
    metrics = serving()
    metrics.engines.failed(role=Role.CANDIDATE, reason=FailureReason.START_FAILED, restarts=False)
    metrics.engines.failed(role=Role.INCUMBENT, reason=FailureReason.KILLED, restarts=True)
    found = {name: value for name, value in samples(metrics).items() if name.startswith("gateway_engine_restarts")}
    assert found == {
        "gateway_engine_restarts_total{role=incumbent}": 1,
        "gateway_engine_restarts_total{role=candidate}": 0,
    }


def test_failures_are_counted_by_their_reason() -> None:
    metrics = serving()
    for reason in FailureReason:
        metrics.engines.failed(role=Role.INCUMBENT, reason=reason, restarts=False)
    counted = {name for name, value in samples(metrics).items() if name.startswith("gateway_engine_failures") and value}
    assert counted == {
        f"gateway_engine_failures_total{{reason={reason},role=incumbent}}"
        for reason in ("start_failed", "crashed", "exited", "hung", "out_of_memory", "killed")
    }


def test_an_open_breaker_of_any_engine_of_a_role_shows() -> None:
    metrics = serving()
    resting = msgspec.structs.replace(engine(EngineState.RESTARTING), breaker=BreakerState.OPEN)
    for views, shown in (([engine(), resting], 1), ([engine()], 0)):
        metrics.engines.observed((Role.INCUMBENT, view) for view in views)
        assert samples(metrics)["gateway_engine_breaker_open{role=incumbent}"] == shown


def test_an_evaluation_is_counted_by_outcome_with_its_accuracies() -> None:
    metrics = serving()
    criteria = [criterion for criterion in SEED_CRITERIA if criterion.metric is Metric.ACCURACY]
    bare = make_evaluation({"a": [1.0] * 12, "b": [0.0] * 6 + [1.0] * 6}, criteria=criteria)
    metrics.evaluations.recorded(msgspec.structs.replace(bare, judgements=judge(bare)))
    found = samples(metrics)
    assert found["canary_evaluations_total{model=tutor,outcome=failed,suite=smoke}"] == 1
    assert found["canary_accuracy_ratio{model=tutor,role=candidate,suite=smoke}"] == 0.5
    assert found["canary_accuracy_ratio{model=tutor,role=incumbent,suite=smoke}"] == 1.0


def test_promotions_and_the_queue_are_shown() -> None:
    metrics = serving()
    metrics.deployments.promotion_finished(PROMOTION)
    metrics.queue.observed(running=3, queued={SchedulingClass.BATCH: 2, SchedulingClass.EVALUATION: 0})
    found = samples(metrics)
    assert found["gateway_promotions_total{kind=promote,model=tutor,outcome=done}"] == 1
    assert found["gateway_requests_running{}"] == 3
    assert (found["gateway_requests_queued{class=batch}"], found["gateway_requests_queued{class=evaluation}"]) == (2, 0)


def test_a_models_first_incumbent_is_no_promotion() -> None:
    (promotions,) = (family for family in Metrics().families if family.name == "gateway_promotions_total")
    (kind,) = (label for label in promotions.labels if label.name == "kind")
    assert set(kind.values) == set(PromotionKind) - {PromotionKind.BOOTSTRAP}


def test_waits_and_refusals_are_shown_by_class() -> None:
    metrics = serving()
    metrics.queue.admitted(SchedulingClass.BATCH, wait_s=3.0)
    metrics.queue.refused(SchedulingClass.BATCH, RefusalReason.QUEUE_FULL)
    metrics.queue.refused(SchedulingClass.EVALUATION, RefusalReason.MEMORY)
    found = samples(metrics)
    assert found["gateway_queue_wait_seconds_sum{class=batch}"] == 3.0
    assert found["gateway_requests_refused_total{class=batch,reason=queue_full}"] == 1
    assert found["gateway_requests_refused_total{class=evaluation,reason=memory}"] == 1


def test_an_incumbent_that_is_loaded_on_demand_is_up() -> None:
    metrics = serving()
    metrics.engines.observed([], on_demand=True)
    assert samples(metrics)["gateway_engine_up{role=incumbent}"] == 1
    metrics.engines.observed([(Role.INCUMBENT, engine(EngineState.RESTARTING))], on_demand=True)
    assert samples(metrics)["gateway_engine_up{role=incumbent}"] == 0


def test_memory_near_the_limit_is_shown_while_it_is() -> None:
    metrics = serving()
    metrics.engines.memory_observed(msgspec.structs.replace(BUDGET, near_limit=True))
    found = samples(metrics)
    assert found["gateway_memory_near_limit{}"] == 1
    for kind, size_bytes in {"limit": 100, "reserve": 10, "planned": 50, "used": 40, "available": 30}.items():
        assert found[f"gateway_memory_budget_bytes{{kind={kind}}}"] == size_bytes
    metrics.engines.memory_observed(BUDGET)
    assert samples(metrics)["gateway_memory_near_limit{}"] == 0


def test_an_engines_counts_are_added_up_as_they_grow_and_across_its_processes() -> None:
    metrics = serving()
    step = Step(
        deltas=(),
        steps=2,
        rows=3,
        padding_ratio=0.25,
        memory=EngineMemory(),
        prefix_cache=PrefixCacheCounts(hits=2, misses=1, hit_tokens=50),
    )
    metrics.engines.stepped(step, before=PrefixCacheCounts())
    metrics.engines.stepped(step, before=step.prefix_cache)
    metrics.engines.stepped(step, before=PrefixCacheCounts(hits=9, misses=9, hit_tokens=9))  # it counts anew
    found = samples(metrics)
    assert found["gateway_prefix_cache_requests_total{result=hit}"] == 4
    assert found["gateway_prefix_cache_requests_total{result=miss}"] == 2
    assert found["gateway_prefix_cache_tokens_total{}"] == 100
    assert found["gateway_engine_steps_total{}"] == 6
    assert found["gateway_engine_padding_ratio_sum{}"] == 0.75
    assert (found["gateway_engine_batch_rows_count{}"], found["gateway_engine_batch_rows_sum{}"]) == (3, 9)


def test_a_runner_that_was_replaced_after_an_error_counts_from_0_again() -> None:
    metrics = serving()
    for hits, before in ((3, 0), (1, 3)):
        step = Step(deltas=(), rows=1, memory=EngineMemory(), prefix_cache=PrefixCacheCounts(hits=hits))
        metrics.engines.stepped(step, before=PrefixCacheCounts(hits=before))
    assert samples(metrics)["gateway_prefix_cache_requests_total{result=hit}"] == 4


def test_two_gateways_in_one_process_do_not_meet() -> None:
    one, other = serving(), serving()
    one.requests.finished(**OF_CLIENT, status=200, duration_s=1.0)
    assert not [name for name in samples(other) if name.startswith("gateway_requests_total")]


def test_the_exposition_names_its_type_and_no_second_series_of_births() -> None:
    metrics = serving()
    metrics.requests.finished(**OF_CLIENT, status=200, duration_s=1.0)
    body, content_type = metrics.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"_created" not in body
