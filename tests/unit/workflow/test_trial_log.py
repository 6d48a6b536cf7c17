"""A run's trials on disk: whole lines are kept, whatever happened to the last one, and by one process at a time."""

import json
from pathlib import Path

import pytest

from canary.errors import UsageError
from canary.trial_log import TrialLog, Tried, default_log_directory
from gateway.contracts.chat import FinishReason
from gateway.contracts.evaluations import Completion, Grade, Ungraded
from tests.support.evaluations import CANDIDATE_ERROR, INFRASTRUCTURE_ERROR

RIGHT = Tried(
    result=Completion(
        text="4 \n and \u2028",
        finish_reason=FinishReason.STOP,
        prompt_tokens=7,
        completion_tokens=3,
        time_to_first_token_s=0.1,
        generation_time_s=0.2,
    ),
    grade=Grade(value=1.0, reason="it is 4"),
)
CRASHED = Tried(result=CANDIDATE_ERROR, grade=Grade(value=0.0, reason="no answer"))
LOST = Tried(result=INFRASTRUCTURE_ERROR, grade=Ungraded(reason="no answer"))
DAY_S = 86_400.0
NOW_S = 1_000_000.0


def opened(directory: Path, *, key: str = "run", now_s: float = NOW_S, fresh: bool = False) -> TrialLog:
    return TrialLog(directory, key, max_age_s=DAY_S, now_s=now_s, fresh=fresh)


def written(directory: Path) -> Path:
    with opened(directory) as log:
        log.keep((0, "a"), RIGHT)
        log.keep((1, "a"), CRASHED)
    return directory / "run.jsonl"


def kept(directory: Path, *, now_s: float = NOW_S, fresh: bool = False) -> dict[tuple[int, str], Tried]:
    with opened(directory, now_s=now_s, fresh=fresh) as log:
        return dict(log.kept)


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    written(tmp_path)
    assert kept(tmp_path) == {(0, "a"): RIGHT, (1, "a"): CRASHED}


def test_each_trial_is_on_disk_when_it_has_been_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for count in (1, 2, 3):
            log.keep((0, str(count)), RIGHT)
            lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
            assert [json.loads(line).get("case_id") for line in lines] == [None, "1", "2", "3"][: count + 1]


def test_what_the_infrastructure_lost_is_tried_again(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.keep((0, "a"), LOST)
    assert kept(tmp_path) == {}


def test_a_file_that_is_cut_anywhere_keeps_its_whole_lines_and_goes_on_after_them(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    lines = whole.splitlines(keepends=True)
    for length in range(len(whole)):
        (tmp_path / "run.jsonl").write_bytes(whole[:length])
        count = sum(len(b"".join(lines[: number + 1])) <= length for number in range(len(lines)))
        with opened(tmp_path) as log:
            assert len(log.kept) == max(count - 1, 0)
            log.keep((2, "b"), RIGHT)
        assert (2, "b") in kept(tmp_path)


@pytest.mark.parametrize("damage", [b"\x00\xff\n", b"{}\n", b'{"system": 1}\n', b"\n"])
def test_what_is_no_line_of_ours_ends_what_is_read(tmp_path: Path, damage: bytes) -> None:
    path = written(tmp_path)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second + damage + third)
    assert kept(tmp_path) == {(0, "a"): RIGHT}
    assert path.read_bytes() == first + second


def test_a_log_that_was_begun_too_long_ago_starts_over(tmp_path: Path) -> None:
    written(tmp_path)
    assert len(kept(tmp_path, now_s=NOW_S + DAY_S)) == 2
    assert kept(tmp_path, now_s=NOW_S + DAY_S + 1) == {}
    assert kept(tmp_path, now_s=NOW_S + DAY_S + 1) == {}


def test_a_fresh_run_starts_over(tmp_path: Path) -> None:
    written(tmp_path)
    assert kept(tmp_path, fresh=True) == {}
    assert kept(tmp_path) == {}


def test_one_process_at_a_time_runs_the_same(tmp_path: Path) -> None:
    with opened(tmp_path), opened(tmp_path, key="other"), pytest.raises(UsageError, match="another canary"):
        opened(tmp_path)
    assert kept(tmp_path) == {}


def test_a_log_of_a_recorded_run_is_gone(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.keep((0, "a"), RIGHT)
        log.remove()
        log.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_trial_that_ends_after_the_run_is_not_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        pass
    log.keep((0, "a"), RIGHT)
    assert kept(tmp_path) == {}


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path / "runs")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_directory_that_cannot_be_made_is_a_sentence_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="XDG_STATE_HOME"):
        opened(tmp_path / "file" / "runs")


def test_it_lies_where_the_user_keeps_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_log_directory({}) == Path("/home/somebody/.local/state/canary/runs")
    assert default_log_directory({"XDG_STATE_HOME": "/state"}) == Path("/state/canary/runs")
