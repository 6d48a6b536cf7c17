from pathlib import Path

import pytest

from gateway.engine.build_directory import build_directory, refuse_full_disk
from gateway.engine.job import JobError


def test_the_directory_appears_whole_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "build"
    with build_directory(out) as directory:
        (directory / "a").write_text("a")
        assert not out.exists()
    assert [path.name for path in out.parent.rglob("*")] == ["build", "a"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(JobError), build_directory(tmp_path / "build") as directory:
        (directory / "a").write_text((tmp_path / "gone").read_text())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_job_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".build.partial").mkdir()
    (tmp_path / ".build.partial" / "old").write_text("old")
    with build_directory(tmp_path / "build") as directory:
        assert list(directory.iterdir()) == []


def test_a_directory_that_exists_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="exists already"), build_directory(tmp_path):
        pass


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match="cannot be written"), build_directory(tmp_path / "file" / "build"):
        pass


def test_a_disk_that_cannot_hold_the_result_is_refused_before_any_work(tmp_path: Path) -> None:
    refuse_full_disk(tmp_path / "not" / "there", 1)
    with pytest.raises(JobError, match=r"needs .* GiB and .* GiB free"):
        refuse_full_disk(tmp_path / "not" / "there", 2**60)
