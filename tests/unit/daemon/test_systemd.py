"""The unit that is written, held against systemd itself where it is there, and what is said to systemctl."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.daemon.service_manager import Plan, Ran
from gateway.daemon.systemd import Systemd
from gateway.errors import StartError

ANALYZE = shutil.which("systemd-analyze")
SHOWN = """LoadState=loaded
ActiveState=failed
SubState=failed
MainPID=0
Result=exit-code
ExecMainStatus=78
NRestarts=2
"""


def plan_of(tmp_path: Path, *arguments: str) -> Plan:
    program = tmp_path / "gateway"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return Plan(command=(str(program), *arguments), working_dir=tmp_path, stop_timeout_s=55)


class Systemctl:
    def __init__(self, *, shown: str = SHOWN, status: int = 0, words: str = "") -> None:
        self.said: list[str] = []
        self._ran = Ran(status, words)
        self._shown = shown

    def __call__(self, command: Sequence[str]) -> Ran:
        assert list(command[:2]) == ["systemctl", "--user"]
        self.said.append(" ".join(command[2:4]))
        return self._ran if self._ran.status or command[2] != "show" else Ran(0, self._shown)


def test_the_unit_says_what_to_run_and_when_to_run_it_again(tmp_path: Path) -> None:
    unit = Systemd(config_home=tmp_path, run=Systemctl()).content(plan_of(tmp_path)).decode().splitlines()
    assert {"Restart=on-failure", "RestartPreventExitStatus=78", "TimeoutStopSec=55", "KillMode=mixed"} <= set(unit)
    assert {"UMask=0077", "NoNewPrivileges=yes", "LimitNOFILE=65536", "WantedBy=default.target"} <= set(unit)


def test_nothing_in_an_argument_is_expanded(tmp_path: Path) -> None:
    unit = Systemd(config_home=tmp_path, run=Systemctl()).content(plan_of(tmp_path, '100% "mine" $HOME \\')).decode()
    assert r'"100%% \"mine\" $$HOME \\"' in unit


@pytest.mark.skipif(ANALYZE is None, reason="this system has no systemd")
def test_systemd_accepts_the_unit_and_every_option_in_it(tmp_path: Path) -> None:
    assert ANALYZE is not None
    plan = plan_of(tmp_path, "--config", 'a "quoted" 100% $HOME \\ path.toml')
    unit = tmp_path / "gateway.service"
    unit.write_bytes(Systemd(config_home=tmp_path, run=Systemctl()).content(plan))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    verified = subprocess.run(
        [ANALYZE, "verify", "--user", unit], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_it_is_enabled_and_started_and_again_only_where_it_changed(tmp_path: Path) -> None:
    systemctl = Systemctl()
    it = Systemd(config_home=tmp_path, run=systemctl)
    it.start(changed=True)
    it.start(changed=False)
    verbs = ["daemon-reload", "enable gateway.service", "restart gateway.service"]
    assert systemctl.said == [*verbs, *verbs[:2], "start gateway.service"]


def test_its_end_is_asked_for_and_then_it_is_forgotten(tmp_path: Path) -> None:
    systemctl = Systemctl()
    it = Systemd(config_home=tmp_path, run=systemctl)
    it.stop()
    it.forget()
    assert systemctl.said == ["disable --now", "daemon-reload", "reset-failed gateway.service"]


def test_a_machine_without_a_users_systemd_is_told_so(tmp_path: Path) -> None:
    systemctl = Systemctl(status=1, words="Failed to connect to bus: No medium found\n")
    with pytest.raises(StartError, match=r"Failed to connect to bus.*enable-linger"):
        Systemd(config_home=tmp_path, run=systemctl).require()


def test_the_status_is_read_from_its_properties(tmp_path: Path) -> None:
    status = Systemd(config_home=tmp_path, run=Systemctl()).status()
    assert (status.running, status.pid, status.state) == (False, None, "failed (failed)")
    assert (status.last_exit, status.restarts) == ("exit-code, status 78", 2)
    lively = "ActiveState=active\nSubState=running\nMainPID=4711\nResult=success\nExecMainStatus=0\nNRestarts=0\n"
    status = Systemd(config_home=tmp_path, run=Systemctl(shown=lively)).status()
    assert (status.running, status.pid, status.last_exit) == (True, 4711, "")


def test_the_logs_are_in_the_file_that_the_installed_unit_names(tmp_path: Path) -> None:
    it = Systemd(config_home=tmp_path, run=Systemctl())
    assert it.status().logs == "journalctl --user -u gateway.service"
    it.file.parent.mkdir(parents=True)
    it.file.write_bytes(it.content(plan_of(tmp_path, "--log-file", '/logs/100% "mine" $HOME.log')))
    assert it.status().logs == '/logs/100% "mine" $HOME.log, journalctl --user -u gateway.service'


def test_only_what_was_written_here_is_ours(tmp_path: Path) -> None:
    it = Systemd(config_home=tmp_path, run=Systemctl())
    assert it.is_ours(it.content(plan_of(tmp_path)))
    assert not it.is_ours(b"[Service]\nExecStart=/bin/true\n")
