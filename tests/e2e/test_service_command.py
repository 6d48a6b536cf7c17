"""`gateway service`: the round trip in a home of its own, and a gateway started by the very line that was written."""

import json
import os
import plistlib
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.cli import main
from tests.support.in_process import called
from tests.support.programs import PATIENCE_S, environment, events_in, run, wait_until
from tests.support.served import SCRIPTED

TUTOR = SCRIPTED / "tutor"
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$HOME/systemctl.log"
case "$*" in *"show gateway"*) printf '%s\\n' ActiveState=active SubState=running MainPID=42 Result=success ;; esac
"""
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the manager of this system is another")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A home, and a systemctl that notes what it is told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }


def told(home: dict[str, str]) -> list[str]:
    log = Path(home["HOME"], "systemctl.log")
    return log.read_text().splitlines() if log.exists() else []


def service(home: dict[str, str], *arguments: str | Path, status: int = 0) -> str:
    code, said = called(main, "service", *arguments, cwd=Path(home["HOME"]), environ=home)
    assert code == status, said
    return said


def refused(home: dict[str, str], *arguments: str | Path, status: int) -> str:
    """Start what a service runs, which does not serve."""
    ended = run("gateway", "service", "run", "--port", "0", *arguments, cwd=Path(home["HOME"]), environ=home)
    assert (ended.returncode, "Traceback" in ended.stderr) == (status, False), ended.stderr
    return ended.stderr


def started(command: list[str], home: dict[str, str]) -> "subprocess.Popen[bytes]":
    directory = Path(home["HOME"])
    with (directory / "stderr.log").open("wb") as stderr:
        return subprocess.Popen(
            command, cwd=directory, env=environment(directory, home), stdin=subprocess.DEVNULL, stderr=stderr
        )


def url_in(log: Path) -> str | None:
    events = events_in(log.read_text()) if log.exists() else []
    return next((event["url"] for event in events if event["event"] == "gateway_ready"), None)


def serves(command: list[str], log: Path, home: dict[str, str]) -> None:
    """Run the command until it serves, see it healthy, and end it as a manager does."""
    process = started(command, home)
    try:
        wait_until(lambda: url_in(log) is not None or process.poll() is not None)
        url = url_in(log)
        assert url is not None, Path(home["HOME"], "stderr.log").read_text()
        assert httpx.get(f"{url}/health", timeout=PATIENCE_S).json() == {"status": "alive"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


# --- what is written runs ---


def test_the_line_of_the_unit_starts_a_gateway(home: dict[str, str]) -> None:
    state = Path(home["HOME"], "state")
    unit = service(
        home, "install", "--dry-run", "--manager", "systemd", "--port", "0", "--model", TUTOR, "--state-dir", state
    )
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    serves(shlex.split(line.removeprefix("ExecStart=")), Path(home["HOME"], "stderr.log"), home)


def test_the_line_of_the_agent_starts_a_gateway_that_logs_to_its_file(home: dict[str, str]) -> None:
    state = Path(home["HOME"], "state")
    agent = plistlib.loads(
        service(
            home, "install", "--dry-run", "--manager", "launchd", "--port", "0", "--model", TUTOR, "--state-dir", state
        ).encode()
    )
    serves(agent["ProgramArguments"], Path(home["HOME"], "Library/Logs/gateway/gateway.log"), home)
    assert "gateway_ready" not in Path(home["HOME"], "stderr.log").read_text()


@pytest.mark.parametrize(("manager", "status"), [("systemd", 78), ("launchd", 0)])
def test_what_a_restart_would_not_mend_ends_with_the_status_that_prevents_one(
    manager: str, status: int, home: dict[str, str]
) -> None:
    said = refused(home, "--manager", manager, "--model", "./none", status=status)
    assert "no model directory" in said.splitlines()[-1]


def test_an_address_that_is_not_there_yet_is_tried_again(home: dict[str, str]) -> None:
    said = refused(home, "--manager", "launchd", "--model", TUTOR, "--host", "192.0.2.1", status=1)
    assert "Cannot listen on 192.0.2.1:0" in said


# --- install, status, uninstall ---


@ON_LINUX
def test_a_service_is_installed_shown_and_removed_and_the_state_stays(home: dict[str, str]) -> None:
    unit = Path(home["XDG_CONFIG_HOME"], "systemd/user/gateway.service")
    state = Path(home["HOME"], "state")
    state.mkdir()
    said = service(home, "install", "--port", "0", "--model", TUTOR, "--state-dir", state)
    assert f"{unit} written" in said
    assert told(home)[-1] == "--user restart gateway.service"
    before = unit.stat().st_mtime_ns
    assert "as it was" in service(home, "install", "--port", "0", "--model", TUTOR, "--state-dir", state)
    assert (unit.stat().st_mtime_ns, told(home)[-1]) == (before, "--user start gateway.service")
    shown = service(home, "status").splitlines()
    assert shown[0] == f"installed: yes ({unit})"
    assert shown[1].startswith("running:   yes, process 42")
    assert "removed" in service(home, "uninstall")
    assert "--user disable --now gateway.service" in told(home)
    assert list(unit.parent.iterdir()) == []
    assert state.exists()


@ON_LINUX
def test_a_file_of_somebody_elses_is_left_alone(home: dict[str, str]) -> None:
    unit = Path(home["XDG_CONFIG_HOME"], "systemd/user/gateway.service")
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    for command in (["install", "--port", "0", "--model", TUTOR], ["uninstall"]):
        assert "move it away first" in service(home, *command, status=1)
    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert told(home) == []


@ON_LINUX
def test_without_a_service_the_status_says_so_and_there_is_nothing_to_remove(home: dict[str, str]) -> None:
    shown = json.loads(service(home, "status", "--format", "json"))
    assert (shown["installed"], shown["running"], shown["pid"]) == (False, True, 42)
    assert service(home, "uninstall") == "No service is installed.\n"


@ON_LINUX
def test_where_there_is_no_manager_nothing_is_written(home: dict[str, str]) -> None:
    (Path(home["HOME"]) / "bin" / "systemctl").write_text("#!/bin/sh\necho Failed to connect to bus\nexit 1\n")
    said = service(home, "install", "--port", "0", "--model", TUTOR, status=1)
    assert "Failed to connect to bus" in said
    assert not Path(home["XDG_CONFIG_HOME"]).exists()


def test_wrong_settings_are_refused_before_anything_is_written(home: dict[str, str]) -> None:
    Path(home["HOME"], "gateway.toml").write_text("[server]\nprot = 1\n")
    assert "server.prot" in service(home, "install", "--config", "gateway.toml", status=1)
    assert told(home) == []
