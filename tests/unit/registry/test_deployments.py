"""A Deployment changes only as a whole, only from the revision that was read, and never without a line in the log."""

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.contracts.deployments import Deployment, GatePolicy, Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation
from gateway.errors import GateError, GatewayError, NotFound, PromotionRefused, RevisionConflict
from gateway.registry import Registry
from tests.support.evaluations import make_evaluation, make_variant

pytestmark = pytest.mark.anyio

GATE = GatePolicy(suite="smoke")


def allow(_deployment: Deployment, _evaluation: Evaluation | None) -> None:
    """Let every change through."""


async def deploy(registry: Registry, *names: str) -> dict[str, str]:
    """Register the variants, deploy the first as `tutor`, and return the digests by name."""
    digests = {name: (await registry.add_variant(make_variant(name))).digest for name in names}
    await registry.create_deployment("tutor", incumbent=digests[names[0]], gate=GATE)
    return digests


async def change(
    registry: Registry, to: str, kind: PromotionKind = PromotionKind.PROMOTE, **more: Any
) -> tuple[Deployment, Promotion]:
    revision = (await registry.deployment("tutor")).revision
    arguments: dict[str, Any] = {"expected_revision": revision, "to_variant": to, "kind": kind, "check": allow} | more
    return await registry.replace_incumbent("tutor", **arguments)


async def test_a_new_deployment_starts_the_log(registry: Registry) -> None:
    digests = await deploy(registry, "a")
    deployment = await registry.deployment("tutor")
    assert deployment == Deployment(model="tutor", incumbent=digests["a"], revision=1, gate=GATE)
    assert await registry.deployments() == (deployment,)
    (bootstrap,) = await registry.promotions("tutor")
    assert (bootstrap.kind, bootstrap.from_variant, bootstrap.to_variant) == (
        PromotionKind.BOOTSTRAP,
        None,
        digests["a"],
    )


async def test_a_promotion_changes_incumbent_revision_and_pin_together(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")
    deployment, promotion = await change(registry, digests["b"], reason="it is better", pin_suite_digest="f" * 64)
    assert deployment == await registry.deployment("tutor")
    assert (deployment.incumbent, deployment.revision) == (digests["b"], 2)
    assert deployment.gate == msgspec.structs.replace(GATE, suite_digest="f" * 64)
    assert (promotion.from_variant, promotion.to_variant, promotion.revision) == (digests["a"], digests["b"], 2)
    assert (promotion.reason, promotion.outcome) == ("it is better", PromotionOutcome.DONE)
    assert (await registry.promotions())[0] == promotion


async def test_a_stale_revision_conflicts_and_changes_nothing(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")
    with pytest.raises(RevisionConflict, match="revision 1"):
        await change(registry, digests["b"], expected_revision=7)
    assert (await registry.deployment("tutor")).incumbent == digests["a"]


async def test_of_two_writers_with_one_revision_one_wins(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b", "c")
    attempts = [change(registry, digests[name], expected_revision=1) for name in ("b", "c")]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(isinstance(result, RevisionConflict) for result in results) == [False, True]
    assert (await registry.deployment("tutor")).revision == 2
    assert len(await registry.promotions("tutor")) == 2


async def test_the_check_sees_what_is_recorded_and_its_refusal_changes_nothing(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")
    evaluation = make_evaluation({"a": [1.0], "b": [1.0]})
    evaluation = msgspec.structs.replace(evaluation, systems=evaluation.systems[:1])
    await registry.add_evaluation(evaluation)
    seen: list[object] = []

    def refuse(deployment: Deployment, cited: Evaluation | None) -> None:
        seen.extend((deployment.revision, cited))
        raise PromotionRefused("not today")

    with pytest.raises(PromotionRefused, match="not today"):
        await change(registry, digests["b"], check=refuse, evaluation_id=evaluation.id)
    assert seen == [1, evaluation]
    assert (await registry.deployment("tutor")).revision == 1
    assert len(await registry.promotions("tutor")) == 1


async def test_a_check_that_fails_in_any_way_changes_nothing(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")

    def crash(_deployment: Deployment, _evaluation: Evaluation | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change(registry, digests["b"], check=crash)
    assert (await registry.deployment("tutor")).revision == 1
    assert (await change(registry, digests["b"]))[0].revision == 2


async def test_a_promotion_cites_the_whole_id_of_its_evaluation(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")
    evaluation = make_evaluation({"a": [1.0]})
    await registry.add_evaluation(evaluation)
    _, promotion = await change(registry, digests["b"], evaluation_id=evaluation.id[:10])
    assert promotion.evaluation_id == evaluation.id


async def test_the_incumbent_is_never_promoted_over_itself(registry: Registry) -> None:
    digests = await deploy(registry, "a")
    for kind in PromotionKind:
        with pytest.raises(PromotionRefused, match="incumbent of tutor already"):
            await change(registry, digests["a"], kind)


async def test_what_is_unknown_is_named(registry: Registry) -> None:
    with pytest.raises(NotFound) as raised:
        await registry.deployment("tutor")
    assert raised.value.code is ErrorCode.MODEL_NOT_FOUND
    with pytest.raises(NotFound) as raised:
        await registry.create_deployment("tutor", incumbent="0" * 64, gate=GATE)
    assert raised.value.code is ErrorCode.VARIANT_NOT_FOUND
    digests = await deploy(registry, "a", "b")
    with pytest.raises(NotFound, match="evaluation"):
        await change(registry, digests["b"], evaluation_id="nowhere")
    with pytest.raises(NotFound, match="variant"):
        await change(registry, "0" * 64)


async def test_a_model_is_deployed_once(registry: Registry) -> None:
    digests = await deploy(registry, "a")
    with pytest.raises(RevisionConflict, match="deployed already"):
        await registry.create_deployment("tutor", incumbent=digests["a"], gate=GATE)


async def test_a_deployment_that_starts_afresh_goes_on_with_the_revisions(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")
    await change(registry, digests["b"])
    await registry.delete_deployment("tutor")
    with pytest.raises(NotFound):
        await registry.deployment("tutor")
    again = await registry.create_deployment("tutor", incumbent=digests["a"], gate=GATE)
    assert again.revision == 3
    assert len(await registry.promotions("tutor")) == 3
    with pytest.raises(GateError):
        await registry.previous_incumbent("tutor")
    await registry.delete_deployment("nobody")


async def test_a_failed_promotion_is_logged_and_changes_nothing(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")
    failed = await registry.record_promotion(
        "tutor",
        to_variant=digests["b"],
        kind=PromotionKind.PROMOTE,
        outcome=PromotionOutcome.FAILED,
        reason="the engine did not start",
    )
    assert (failed.outcome, failed.revision, failed.from_variant) == (PromotionOutcome.FAILED, 1, digests["a"])
    assert (await registry.deployment("tutor")).incumbent == digests["a"]
    with pytest.raises(GateError):
        await registry.previous_incumbent("tutor")


async def test_what_was_found_out_about_a_promotion_afterwards_is_logged_and_is_no_change(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b")
    await change(registry, digests["b"])
    doubted = await registry.record_promotion(
        "tutor",
        to_variant=digests["b"],
        kind=PromotionKind.PROMOTE,
        outcome=PromotionOutcome.UNVERIFIED,
        reason="other files",
    )
    assert (doubted.revision, doubted.from_variant) == (2, digests["b"])
    assert await registry.previous_incumbent("tutor") == digests["a"]


async def test_a_rollback_goes_back_along_the_line_and_not_to_what_was_left(registry: Registry) -> None:
    digests = await deploy(registry, "a", "b", "c")
    await change(registry, digests["b"])
    await change(registry, digests["c"], PromotionKind.OVERRIDE)
    for expected in ("b", "a"):
        previous = await registry.previous_incumbent("tutor")
        assert previous == digests[expected]
        await change(registry, previous, PromotionKind.ROLLBACK)
    with pytest.raises(GateError) as raised:
        await registry.previous_incumbent("tutor")
    assert raised.value.code is ErrorCode.NOTHING_TO_ROLL_BACK
    await change(registry, digests["c"])
    assert await registry.previous_incumbent("tutor") == digests["a"]


async def test_a_closed_registry_says_so(registry: Registry) -> None:
    await registry.close()
    await registry.close()
    with pytest.raises(GatewayError, match="closed"):
        await registry.deployments()
    with pytest.raises(GatewayError, match="closed"):
        registry.cached_file_digest("/x", 1, 1, 1)
