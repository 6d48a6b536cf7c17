"""The machine is kept awake by the system's own command, and by nothing where there is none."""

import os
import time
from pathlib import Path

import psutil
import pytest

from canary.awake import kept_awake

HERE = "http://127.0.0.1:8080"
PATIENCE_S = 30.0


def fake_command(directory: Path, name: str, script: str) -> None:
    """Put an executable on the path that notes its arguments."""
    path = directory / name
    path.write_text(f'#!/bin/sh\necho "$@" > "{directory}/arguments"\n{script}\n')
    path.chmod(0o755)


def arguments_given(directory: Path) -> str:
    deadline_s = time.monotonic() + PATIENCE_S
    while not (given := directory / "arguments").is_file() or not given.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return given.read_text().strip()


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on the path, but for the shell's own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_linux_is_kept_awake_for_as_long_as_canary_lives(commands: Path) -> None:
    fake_command(commands, "systemd-inhibit", "exec /bin/sleep 60")
    with kept_awake(HERE) as awake:
        assert awake.by == "systemd-inhibit"
        given = arguments_given(commands)
        assert "--what=idle:sleep" in given
        assert f"--pid={os.getpid()}" in given
        held = [child for child in psutil.Process().children() if child.name() in {"sleep", "systemd-inhibit", "sh"}]
        assert held
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in held)


def test_macos_is_kept_awake_by_caffeinate(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("canary.awake.sys.platform", "darwin")
    fake_command(commands, "caffeinate", "exec /bin/sleep 60")
    with kept_awake(HERE) as awake:
        assert awake.by == "caffeinate"
        assert arguments_given(commands) == f"-i -w {os.getpid()}"


def test_a_command_that_the_system_refuses_keeps_nothing_awake(commands: Path) -> None:
    fake_command(commands, "systemd-inhibit", "exit 1")
    with kept_awake(HERE) as awake:
        deadline_s = time.monotonic() + PATIENCE_S
        while awake.by is not None and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert awake.by is None


def test_nothing_is_started_where_there_is_no_command_or_the_gateway_is_elsewhere(commands: Path) -> None:
    with kept_awake(HERE) as awake:
        assert awake.by is None
    fake_command(commands, "systemd-inhibit", "exec /bin/sleep 60")
    with kept_awake("http://another.example:8080") as awake:
        assert awake.by is None
    assert not (commands / "arguments").exists()


def test_a_command_that_cannot_be_run_is_no_reason_to_stop(commands: Path) -> None:
    (commands / "systemd-inhibit").write_text("no program")
    (commands / "systemd-inhibit").chmod(0o755)
    with kept_awake(HERE) as awake:
        assert awake.by is None
