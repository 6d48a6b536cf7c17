import pytest

from gateway.engine.turns import Turns


def _shares(rows: dict[str, int], step_s: dict[str, float], turns_count: int = 1000) -> dict[str, float]:
    """Run so many turns and return each batch's share of the time."""
    turns = Turns[str]()
    spent_s = dict.fromkeys(rows, 0.0)
    for _ in range(turns_count):
        for batch in turns.due(list(rows.items())):
            turns.observe(batch, step_s[batch])
            spent_s[batch] += step_s[batch]
    return {batch: spent / sum(spent_s.values()) for batch, spent in spent_s.items()}


def test_a_batch_alone_steps_every_turn() -> None:
    turns = Turns[str]()
    assert [turns.due([("a", 3)]) for _ in range(3)] == [["a"]] * 3


def test_a_dear_row_takes_a_seventh_of_the_time_beside_fifteen_others() -> None:
    shares = _shares({"short": 15, "long": 1}, {"short": 0.126, "long": 0.075})
    assert shares["long"] == pytest.approx(0.15, abs=0.01)


def test_a_cheap_one_steps_every_turn() -> None:
    turns = Turns[str]()
    stepped = 0
    for _ in range(100):
        due = turns.due([("short", 15), ("long", 1)])
        stepped += len(due)
        for batch in due:
            turns.observe(batch, 0.060 if batch == "short" else 0.008)
    assert stepped == 200


def test_batches_of_as_many_rows_share_the_time() -> None:
    assert _shares({"a": 1, "b": 1}, {"a": 0.05, "b": 0.1})["b"] == pytest.approx(0.5, abs=0.01)


def test_others_divide_their_share_by_their_rows() -> None:
    shares = _shares({"main": 10, "a": 4, "b": 2}, dict.fromkeys(("main", "a", "b"), 0.1), 5000)
    assert shares["a"] == pytest.approx(2 * shares["b"], rel=0.05)
    assert shares["main"] == pytest.approx(10 / 16, abs=0.02)


def test_a_new_batch_steps_at_once_and_one_that_is_gone_leaves_nothing() -> None:
    turns = Turns[str]()
    turns.due([("a", 5)])
    turns.observe("a", 0.1)
    assert turns.due([("a", 5), ("b", 1)]) == ["a", "b"]
    turns.observe("b", 10.0)
    assert turns.due([("a", 5), ("b", 1)]) == ["a"]
    turns.due([("a", 5)])
    assert turns.due([("a", 5), ("b", 1)]) == ["a", "b"]
