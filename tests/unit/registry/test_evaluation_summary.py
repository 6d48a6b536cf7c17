"""What lists show of an evaluation without reading the whole of it."""

import msgspec
import pytest

from gateway.contracts.admin import EvaluationSummary
from gateway.contracts.evaluations import Outcome
from gateway.registry import Registry
from tests.support.judged_runs import judged


@pytest.mark.anyio
async def test_a_candidate_has_its_accuracy_and_its_difference_from_the_incumbent(registry: Registry) -> None:
    await registry.add_evaluation(judged({"old": [1.0] * 20, "new": [1.0] * 15 + [0.0] * 5}))
    (found,) = (await registry.evaluations())[0].candidates

    assert (found.accuracy, found.difference) == (0.75, -0.25)
    assert found.difference_low is not None
    assert found.difference_high is not None
    assert found.difference_low < -0.25 < found.difference_high < 0


@pytest.mark.anyio
async def test_a_candidate_without_a_pair_has_no_difference(registry: Registry) -> None:
    (found,) = (await registry.add_evaluation(judged({"old": [], "new": []}))).candidates

    assert (found.accuracy, found.difference) == (None, None)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_summary_from_before_is_read_without_a_difference(outcome: Outcome) -> None:
    before = {
        "id": "1",
        "created_at": "2026-01-01T00:00:00+00:00",
        "model": "tutor",
        "suite": "smoke",
        "incumbent": "old@1",
        "candidates": [{"reference": "new@2", "outcome": outcome}],
    }
    (found,) = msgspec.convert(before, EvaluationSummary).candidates

    assert (found.outcome, found.difference) == (outcome, None)
