import json
from pathlib import Path

import httpx
import msgspec
import pytest

from canary.client import GatewayClient
from canary.runner import Trier, grade_result, plan_trials, run_trials
from canary.suite import Suite, load_suite
from gateway.contracts.chat import FinishReason
from gateway.contracts.evaluations import Completion, Grade, Role, System, Trial, Ungraded
from gateway.contracts.suites import Protocol
from tests.support.evaluations import CANDIDATE_ERROR, INFRASTRUCTURE_ERROR, make_system
from tests.support.fake_gateway import FakeGateway, error_response
from tests.support.mini_suite import write_mini_suite

SYSTEMS = (make_system("incumbent", Role.INCUMBENT), make_system("good"), make_system("bad"))


def mini_suite(parent: Path, *, seed: int = 0, count: int = 12) -> Suite:
    write_mini_suite(parent, seed=seed, count=count)
    return load_suite("mini", search_path=[parent])


def order(suite: Suite, systems: tuple[System, ...] = SYSTEMS) -> list[tuple[str, str]]:
    return [(planned.case.id, planned.system.variant.name) for planned in plan_trials(suite, systems)]


def test_every_system_runs_every_case_once(tmp_path: Path) -> None:
    suite = mini_suite(tmp_path)
    planned = order(suite)
    assert len(set(planned)) == len(planned) == len(suite.cases) * len(SYSTEMS)


def test_the_systems_of_a_case_follow_each_other(tmp_path: Path) -> None:
    planned = order(mini_suite(tmp_path))
    for start in range(0, len(planned), len(SYSTEMS)):
        assert len({case_id for case_id, _ in planned[start : start + len(SYSTEMS)]}) == 1


def test_which_system_comes_first_changes_from_case_to_case(tmp_path: Path) -> None:
    assert len({name for _, name in order(mini_suite(tmp_path))[:: len(SYSTEMS)]}) == len(SYSTEMS)


def test_the_seed_alone_decides_the_order(tmp_path: Path) -> None:
    first = order(mini_suite(tmp_path))
    assert order(mini_suite(tmp_path)) == first
    assert order(mini_suite(tmp_path, seed=1)) != first


def test_trials_are_numbered_in_the_order_of_execution_and_reported(tmp_path: Path) -> None:
    suite = mini_suite(tmp_path, count=3)
    fake = FakeGateway({"incumbent": "4", "good": "4", "bad": "5"})
    seen: list[tuple[int, int]] = []

    def on_trial(trial: Trial, total: int) -> None:
        seen.append((trial.sequence, total))

    plan = plan_trials(suite, SYSTEMS)
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway:
        trials = list(run_trials(Trier(gateway, suite, model="tutor"), plan, on_trial=on_trial))
    assert seen == [(sequence, 9) for sequence in range(9)]
    assert [(trial.case_id, trial.variant_digest) for trial in trials] == [
        (planned.case.id, planned.system.variant.digest) for planned in plan
    ]
    bad = make_system("bad").variant.digest
    for trial in trials:
        assert isinstance(trial.result, Completion)
        assert isinstance(trial.grade, Grade)
        assert trial.grade.value == (0.0 if trial.variant_digest == bad else 1.0)


def test_an_error_of_the_variant_is_graded_zero_and_any_other_is_not_graded(tmp_path: Path) -> None:
    (case,) = mini_suite(tmp_path, count=1).cases
    assert grade_result(CANDIDATE_ERROR, case) == Grade(value=0.0, reason="no answer: engine_crashed")
    assert grade_result(INFRASTRUCTURE_ERROR, case) == Ungraded(reason="no answer: queue_full")


@pytest.mark.parametrize(("finish_reason", "expected"), [(FinishReason.STOP, 1.0), (FinishReason.LENGTH, 0.0)])
def test_an_answer_that_was_cut_off_scores_zero_even_where_it_says_what_is_right(
    tmp_path: Path, finish_reason: FinishReason, expected: float
) -> None:
    (case,) = mini_suite(tmp_path, count=1).cases
    grade = grade_result(completion("4", finish_reason), case)
    assert isinstance(grade, Grade)
    assert grade.value == expected
    assert ("cut off after" in grade.reason) is (finish_reason is FinishReason.LENGTH)


def test_output_that_is_no_answer_scores_zero(tmp_path: Path) -> None:
    (case,) = mini_suite(tmp_path, count=1).cases
    for text in ("", "\x00\ufffd", "{]", "I cannot say."):
        grade = grade_result(completion(text, FinishReason.STOP), case)
        assert isinstance(grade, Grade)
        assert grade.value == 0.0


def completion(text: str, finish_reason: FinishReason) -> Completion:
    return Completion(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=7,
        completion_tokens=3,
        time_to_first_token_s=0.1,
        generation_time_s=0.2,
    )


class Seen:
    """Keeps the requests, and answers each with an error of the variant."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return error_response(500, "engine_crashed")


def fake_that_keeps(seen: Seen) -> FakeGateway:
    fake = FakeGateway({"incumbent": "4", "good": "4", "bad": "5"})
    fake.chat = seen
    return fake


def with_manifest(suite: Suite, **changes: object) -> Suite:
    return msgspec.structs.replace(suite, manifest=msgspec.structs.replace(suite.manifest, **changes))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_system_is_asked_first_what_is_not_recorded(tmp_path: Path, count: int) -> None:
    suite = with_manifest(mini_suite(tmp_path, count=3), protocol=Protocol(warm_up_count=count))
    plan = plan_trials(suite, (*SYSTEMS, SYSTEMS[0]))  # the incumbent as its own candidate has one engine
    seen = Seen()
    with GatewayClient("http://gateway.test", transport=fake_that_keeps(seen).transport) as gateway:
        Trier(gateway, suite, model="tutor").warm_up(plan)
    variants = [request.headers["x-gateway-variant"] for request in seen.requests]
    assert sorted(variants) == sorted(system.variant.reference for system in SYSTEMS for _ in range(count))


def test_the_suite_says_what_the_template_gets_and_whether_kv_is_shared(tmp_path: Path) -> None:
    def asked(suite: Suite) -> tuple[object, str]:
        seen = Seen()
        with GatewayClient("http://gateway.test", transport=fake_that_keeps(seen).transport) as gateway:
            plan = plan_trials(suite, SYSTEMS[:1])
            trier = Trier(gateway, suite, model="tutor")
            list(run_trials(trier, plan, on_trial=lambda _trial, _total: None))
        (request,) = seen.requests
        return json.loads(request.content)["chat_template_kwargs"], request.headers["x-gateway-prefix-cache"]

    suite = mini_suite(tmp_path, count=1)
    assert asked(suite) == (None, "off")
    told = with_manifest(suite, template_arguments={"enable_thinking": False}, protocol=Protocol(prefix_cache=True))
    assert asked(told) == ({"enable_thinking": False}, "on")
