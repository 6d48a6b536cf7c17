"""The gap of a swap is what all streams together leave silent."""

from pathlib import Path

from tests.bench.swap_gap import copy_of, turn_of
from tests.bench.workload import Trace


def trace(*times_s: float, error: str = "") -> Trace:
    return Trace(client=0, turn=0, background=False, started_s=0, delta_times_s=list(times_s), error=error)


def test_the_gap_is_the_longest_silence_of_all_streams_from_the_promotion_on() -> None:
    turn = turn_of([trace(1.0, 1.5, 6.0), trace(1.2, 4.0), trace(error="status_503")], asked_s=2.0, done_s=5.0)
    assert (turn.gap_s, turn.promotion_s) == (2.5, 3.0)
    assert round(turn.usual_s, 6) == 0.3
    assert (turn.answers, turn.errors) == (2, 1)


def test_a_copy_is_another_model_with_the_same_answers(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "scripted.toml").write_text('default_text = "a"')
    copy = copy_of(source, tmp_path / "copy")
    assert (copy / "scripted.toml").read_text() == 'default_text = "a"\n'
