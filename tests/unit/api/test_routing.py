"""A request goes to the incumbent unless it is pinned."""

import pytest

from gateway.contracts.deployments import Deployment, GatePolicy
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Role
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineKind, EngineSpec, Variant
from gateway.errors import NotFound
from gateway.routing import choose, deployment_of


def _variant(name: str, weights: str) -> Variant:
    engine = EngineSpec(
        kind=EngineKind.SCRIPTED,
        path=f"/models/{name}",
        weights_digest=weights * 64,
        quantization=None,
        context_length=8192,
        max_rows=4,
        weights_bytes=1,
        kv_bytes_per_token=1,
        disk_bytes=1,
    )
    return Variant(name=name, engine=engine)


INCUMBENT = _variant("tutor", "a")
CANDIDATE = _variant("tutor-5bit", "b")
DEPLOYMENT = Deployment(model="tutor", incumbent=INCUMBENT.digest, revision=1, gate=GatePolicy(suite="smoke"))


def test_a_request_without_a_pin_goes_to_the_incumbent() -> None:
    route = choose(DEPLOYMENT, INCUMBENT, None, SchedulingClass.BATCH)
    assert (route.model, route.role, route.variant) == ("tutor", Role.INCUMBENT, INCUMBENT)
    assert route.scheduling_class is SchedulingClass.BATCH


def test_a_pinned_candidate_answers_as_candidate_under_the_public_name() -> None:
    route = choose(DEPLOYMENT, INCUMBENT, CANDIDATE, SchedulingClass.INTERACTIVE)
    assert (route.model, route.role, route.variant) == ("tutor", Role.CANDIDATE, CANDIDATE)


def test_a_pin_to_the_content_of_the_incumbent_is_the_incumbent_whatever_its_name() -> None:
    assert choose(DEPLOYMENT, INCUMBENT, _variant("other", "a"), SchedulingClass.BATCH).role is Role.INCUMBENT


@pytest.mark.parametrize("callers_class", SchedulingClass)
@pytest.mark.parametrize("pinned", [INCUMBENT, CANDIDATE])
def test_whoever_pins_evaluates_whatever_the_key_says(pinned: Variant, callers_class: SchedulingClass) -> None:
    assert choose(DEPLOYMENT, INCUMBENT, pinned, callers_class).scheduling_class is SchedulingClass.EVALUATION


def test_a_model_is_found_by_its_public_name() -> None:
    assert deployment_of("tutor", [DEPLOYMENT]) is DEPLOYMENT


def test_an_unknown_model_is_refused_with_those_that_exist() -> None:
    with pytest.raises(NotFound) as caught:
        deployment_of("gpt-4o", [DEPLOYMENT])
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    assert caught.value.param == "model"
    assert caught.value.message == "The model `gpt-4o` does not exist; this gateway serves: tutor."


def test_an_unknown_name_is_not_repeated_without_end() -> None:
    with pytest.raises(NotFound) as caught:
        deployment_of("x" * 10_000, [DEPLOYMENT])
    assert len(caught.value.message) < 300
