"""What a killed gateway leaves is removed when the next one starts, and nothing else."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import msgspec
import psutil
import pytest

from gateway.clean_up import clean_up
from gateway.engine.build_directory import build_directory
from gateway.fleet.leftovers import Leftovers


@pytest.fixture
def sleeper() -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_an_engine_that_outlived_its_gateway_is_killed(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    Leftovers(tmp_path).note(sleeper.pid)
    psutil.Process(sleeper.pid).suspend()
    clean_up(tmp_path)
    with pytest.raises(psutil.NoSuchProcess):
        psutil.Process(sleeper.pid).status()
    assert list((tmp_path / "engines").iterdir()) == []


def test_a_process_that_has_got_the_id_of_an_engine_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    Leftovers(tmp_path).note(sleeper.pid)
    (note,) = (tmp_path / "engines").iterdir()
    earlier = msgspec.json.decode(note.read_bytes()) | {"started_s": 1.0}
    note.write_bytes(msgspec.json.encode(earlier))
    assert Leftovers(tmp_path).end() == []
    assert sleeper.poll() is None
    assert not note.exists()


def test_an_engine_that_has_ended_leaves_no_note(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    leftovers = Leftovers(tmp_path)
    leftovers.note(sleeper.pid)
    leftovers.forget(sleeper.pid)
    leftovers.forget(sleeper.pid)
    assert leftovers.end() == []
    assert sleeper.poll() is None


@pytest.mark.parametrize("rest", [b"", b"{", b'{"pid": 0, "started_s": 0}', b'{"pid": 4194300, "started_s": 1}'])
def test_a_note_that_says_nothing_is_removed(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "7.json").write_bytes(rest)
    assert Leftovers(tmp_path).end() == []
    assert list((tmp_path / "engines").iterdir()) == []


def test_a_note_that_cannot_be_written_keeps_nobody_from_serving(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "engines").write_text("a file where the directory would be")
    Leftovers(tmp_path).note(sleeper.pid)
    Leftovers(tmp_path).forget(sleeper.pid)
    assert sleeper.poll() is None


def test_a_half_built_model_is_removed_and_one_that_is_being_built_is_not(tmp_path: Path) -> None:
    models = tmp_path / "models" / "abc"
    abandoned, whole = models / ".abandoned.partial", models / "whole"
    for directory in (abandoned, whole):
        directory.mkdir(parents=True)
        (directory / "config.json").write_text("{}")
    with build_directory(models / "building") as building:
        clean_up(tmp_path)
        assert building.is_dir()
        assert not abandoned.exists()
    assert (models / "building").is_dir()
    assert whole.is_dir()


def test_a_state_directory_with_nothing_in_it_is_clean(tmp_path: Path) -> None:
    clean_up(tmp_path)
    assert list(tmp_path.iterdir()) == []
