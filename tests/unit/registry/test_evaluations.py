"""Evaluations are kept as they came, and never changed."""

import msgspec
import pytest

from canary.judge import judge
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Metric, Outcome
from gateway.contracts.suites import SEED_CRITERIA
from gateway.errors import EvaluationInvalid, GateError, NotFound
from gateway.registry import Registry
from tests.support.evaluations import make_evaluation

pytestmark = pytest.mark.anyio


def judged(evaluation_id: str) -> Evaluation:
    criteria = [criterion for criterion in SEED_CRITERIA if criterion.metric is Metric.ACCURACY]
    bare = make_evaluation({"a": [1.0] * 12, "b": [1.0] * 12, "c": [0.0] * 12}, criteria=criteria)
    return msgspec.structs.replace(bare, id=evaluation_id, judgements=judge(bare))


async def test_what_is_read_is_what_was_recorded(registry: Registry) -> None:
    evaluation = judged("one")
    summary = await registry.add_evaluation(evaluation)
    assert await registry.evaluation("one") == evaluation
    assert await registry.evaluations() == (summary,)
    assert summary.incumbent == evaluation.incumbent.variant.reference
    assert [candidate.outcome for candidate in summary.candidates] == [Outcome.PASSED, Outcome.FAILED]


async def test_the_last_recorded_comes_first(registry: Registry) -> None:
    for evaluation_id in ("b", "c", "a"):
        await registry.add_evaluation(judged(evaluation_id))
    assert [summary.id for summary in await registry.evaluations()] == ["a", "c", "b"]


async def test_the_last_of_each_model_and_suite_is_found(registry: Registry) -> None:
    for evaluation_id, model, suite in (
        ("1", "tutor", "smoke"),
        ("2", "tutor", "large"),
        ("3", "tutor", "smoke"),
        ("4", "other", "smoke"),
        ("5", "tutor", "large"),
    ):
        told = judged(evaluation_id)
        of_suite = msgspec.structs.replace(told.suite, name=suite)
        await registry.add_evaluation(msgspec.structs.replace(told, model=model, suite=of_suite))
    assert [evaluation.id for evaluation in await registry.last_evaluations(limit=9)] == ["3", "4", "5"]
    assert [evaluation.id for evaluation in await registry.last_evaluations(limit=2)] == ["4", "5"]


async def test_an_id_is_taken_once(registry: Registry) -> None:
    await registry.add_evaluation(judged("one"))
    other = msgspec.structs.replace(judged("one"), seed=7)
    with pytest.raises(GateError) as raised:
        await registry.add_evaluation(other)
    assert raised.value.code is ErrorCode.EVALUATION_EXISTS
    assert (await registry.evaluation("one")).seed == 0


async def test_a_prefix_serves_while_only_one_has_it(registry: Registry) -> None:
    for evaluation_id in ("2026-a1", "2026-a12", "2026-b%"):
        await registry.add_evaluation(judged(evaluation_id))
    assert (await registry.evaluation("2026-b")).id == "2026-b%"
    assert (await registry.evaluation("2026-a1")).id == "2026-a1"
    with pytest.raises(NotFound, match="several"):
        await registry.evaluation("2026-a")
    for unknown in ("", "%", "2026_", "2026-a13", "nothing"):
        with pytest.raises(NotFound):
            await registry.evaluation(unknown)


async def test_a_record_without_its_parts_is_invalid(registry: Registry) -> None:
    whole = judged("one")
    for broken in (
        msgspec.structs.replace(whole, id=""),
        msgspec.structs.replace(whole, systems=()),
        msgspec.structs.replace(whole, judgements=whole.judgements[:1]),
    ):
        with pytest.raises(EvaluationInvalid):
            await registry.add_evaluation(broken)
    assert await registry.evaluations() == ()
