"""The line of sequences that are scored, apart from loop and model."""

import re
from collections.abc import Iterator

import pytest

from gateway.contracts.scoring import PositionScore
from gateway.contracts.scripted import ScriptedModel
from gateway.engine.handoff import RowsFaulted, ScoreAdvanced
from gateway.engine.runner import ScoreSpec, ScoringError
from gateway.engine.scores import Scores
from gateway.engine.scripted_scoring import score_scripted


def _spec(row: int, *tokens: int) -> ScoreSpec:
    return ScoreSpec(row=row, tokens=tokens or (1, 2, 3, 4), scored_from=1, top_k=2)


def _scripted(spec: ScoreSpec) -> Iterator[tuple[PositionScore, ...]]:
    return score_scripted(ScriptedModel(), spec, chunk_tokens=2)


def _all(scores: Scores) -> list[ScoreAdvanced | RowsFaulted]:
    events: list[ScoreAdvanced | RowsFaulted] = []
    while (event := scores.advance()) is not None:
        events.append(event)
    return events


def test_sequences_are_scored_one_after_the_other_chunk_by_chunk() -> None:
    scores = Scores(_scripted)
    assert not scores
    assert scores.advance() is None
    scores.add(_spec(1))
    scores.add(_spec(2, 5, 6))
    assert scores
    events = [event for event in _all(scores) if isinstance(event, ScoreAdvanced)]
    assert [(event.row, len(event.positions), event.ended) for event in events] == [
        (1, 2, False),
        (1, 1, False),
        (1, 0, True),
        (2, 1, False),
        (2, 0, True),
    ]
    assert not scores


def test_a_removed_sequence_is_scored_no_further() -> None:
    scores = Scores(_scripted)
    scores.add(_spec(1))
    scores.add(_spec(2))
    scores.advance()
    scores.remove(1)
    scores.remove(9)
    events = _all(scores)
    assert [event.row for event in events if isinstance(event, ScoreAdvanced)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("error", "told"), [(ScoringError("It is beyond."), "It is beyond."), (RuntimeError("secret"), "(RuntimeError)")]
)
def test_an_error_ends_its_sequence_and_no_other(error: Exception, told: str) -> None:
    def faulty(spec: ScoreSpec) -> Iterator[tuple[PositionScore, ...]]:
        yield ()
        if spec.row == 1:
            raise error

    scores = Scores(faulty)
    scores.add(_spec(1))
    scores.add(_spec(2))
    scores.advance()
    fault = scores.advance()
    assert isinstance(fault, RowsFaulted)
    assert fault.rows == (1,)
    assert re.search(re.escape(told), fault.message)
    assert "secret" not in fault.message
    assert [event.row for event in _all(scores) if isinstance(event, ScoreAdvanced)] == [2, 2]


def test_an_error_at_the_first_call_is_one_of_the_chunks() -> None:
    def refusing(_: ScoreSpec) -> Iterator[tuple[PositionScore, ...]]:
        raise RuntimeError
        yield ()

    scores = Scores(refusing)
    scores.add(_spec(1))
    assert isinstance(scores.advance(), RowsFaulted)
