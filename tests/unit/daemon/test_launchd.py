"""The launch agent that is written, and what is said to launchctl and read from it."""

import itertools
import plistlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.daemon.launchd import LABEL, Launchd, read_print
from gateway.daemon.service_manager import Plan, Ran
from gateway.errors import StartError

PLAN = Plan(
    command=("/opt/env/bin/gateway", "service", "run", "--manager", "launchd", "--config", "/Users/a/my gateway.toml"),
    working_dir=Path("/Users/a/models"),
    stop_timeout_s=55,
)
RUNNING = f"""gui/501/{LABEL} = {{
\tactive count = 1
\tpath = /Users/a/Library/LaunchAgents/{LABEL}.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /opt/env/bin/gateway
\targuments = {{
\t\t/opt/env/bin/gateway
\t\tstate = nonsense
\t}}

\tdefault environment = {{
\t\tPATH => /usr/bin:/bin
\t}}

\tdomain = gui/501 [100005]
\tminimum runtime = 30
\texit timeout = 55
\truns = 3
\tpid = 4711
\timmediate reason = inefficient
\tlast exit code = 1
}}
"""
WAITING = f"gui/501/{LABEL} = {{\n\tstate = not running\n\truns = 1\n\tlast exit code = (never exited)\n}}\n"


class Launchctl:
    """Loads and forgets one service, as launchctl does; some of its commands may fail."""

    def __init__(
        self,
        *,
        fails: Sequence[str] = (),
        lingers: int = 0,
        loaded: bool = False,
        running: bool = True,
        bootout_status: int = 0,
        busy: int = 0,
    ) -> None:
        self.said: list[str] = []
        self._fails = fails
        self._lingers = lingers
        self._loaded = loaded
        self._running = running
        self._bootout_status = bootout_status
        self._busy = busy

    def __call__(self, command: Sequence[str]) -> Ran:
        _, verb, *arguments = command
        if verb != "print":
            self.said.append(f"{verb} {' '.join(arguments)}")
        self._busy -= verb == "bootstrap"
        if verb in self._fails or (verb == "bootstrap" and self._busy >= 0):
            return Ran(5, f"{verb} failed: 5: Input/output error")
        match verb:
            case "bootstrap":
                self._loaded = True
            case "bootout":
                self._loaded = False
                return Ran(self._bootout_status, "Boot-out failed" if self._bootout_status else "")
            case "print" if arguments == ["gui/501"]:
                return Ran(0, "gui/501 = {}")
            case "print" if not self._loaded and self._lingers:
                self._lingers -= 1
                return Ran(0, WAITING)
            case "print":
                printed = RUNNING if self._running else WAITING
                return Ran(0, printed) if self._loaded else Ran(113, "Could not find service")
            case _:
                pass
        return Ran(0, "")


def launchd(tmp_path: Path, run: Callable[[Sequence[str]], Ran]) -> Launchd:
    ticks_s = itertools.count(0.0, 5.0)
    return Launchd(home=tmp_path, run=run, uid=501, sleep=lambda _: None, now_s=lambda: next(ticks_s))


def test_the_agent_says_what_to_run_and_when_to_run_it_again(tmp_path: Path) -> None:
    it = launchd(tmp_path, Launchctl())
    agent = plistlib.loads(it.content(PLAN))
    assert agent["Label"] == LABEL == it.file.stem
    assert agent["ProgramArguments"] == list(PLAN.command)
    assert agent["WorkingDirectory"] == "/Users/a/models"
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert (agent["ThrottleInterval"], agent["ExitTimeOut"]) == (30, 55)
    assert (agent["ProcessType"], agent["Umask"]) == ("Interactive", 0o077)
    assert agent["SoftResourceLimits"]["NumberOfFiles"] >= 8192
    assert Path(agent["StandardErrorPath"]).parent == it.default_log_file.parent


def test_only_what_was_written_here_is_ours(tmp_path: Path) -> None:
    it = launchd(tmp_path, Launchctl())
    assert it.is_ours(it.content(PLAN))
    for other in (b"", b"<plist><broken", plistlib.dumps(["x"]), plistlib.dumps({"ProgramArguments": ["gateway"]})):
        assert not it.is_ours(other)


def test_a_service_is_enabled_and_loaded_once(tmp_path: Path) -> None:
    launchctl = Launchctl()
    it = launchd(tmp_path, launchctl)
    it.start(changed=True)
    assert launchctl.said == [f"enable gui/501/{LABEL}", f"bootstrap gui/501 {it.file}"]
    it.start(changed=False)
    assert len(launchctl.said) == 2


def test_one_that_has_refused_its_configuration_is_started_again_without_a_change_of_its_file(tmp_path: Path) -> None:
    launchctl = Launchctl(loaded=True, running=False)
    launchd(tmp_path, launchctl).start(changed=False)
    assert launchctl.said == [f"kickstart gui/501/{LABEL}"]


def test_one_that_has_changed_is_loaded_anew_when_it_has_gone(tmp_path: Path) -> None:
    launchctl = Launchctl(loaded=True, lingers=3)
    launchd(tmp_path, launchctl).start(changed=True)
    assert [said.partition(" ")[0] for said in launchctl.said] == ["bootout", "enable", "bootstrap"]


def test_one_that_does_not_go_is_told_after_a_time(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="still lists"):
        launchd(tmp_path, Launchctl(loaded=True, lingers=10_000)).stop()


def test_an_end_that_is_still_going_on_is_waited_for(tmp_path: Path) -> None:
    launchd(tmp_path, Launchctl(loaded=True, lingers=3, bootout_status=36)).stop()
    with pytest.raises(StartError, match="Boot-out failed"):
        launchd(tmp_path, Launchctl(loaded=True, bootout_status=1)).stop()


def test_launchd_is_asked_again_where_it_has_not_done_with_what_was_unloaded(tmp_path: Path) -> None:
    launchctl = Launchctl(loaded=True, busy=2)
    launchd(tmp_path, launchctl).start(changed=True)
    assert [said.partition(" ")[0] for said in launchctl.said] == ["bootout", "enable", *["bootstrap"] * 3]


def test_what_launchctl_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="bootstrap failed: 5: Input/output error"):
        launchd(tmp_path, Launchctl(fails=["bootstrap"])).start(changed=True)


def test_to_stop_what_is_not_loaded_is_no_error(tmp_path: Path) -> None:
    launchctl = Launchctl()
    launchd(tmp_path, launchctl).stop()
    assert launchctl.said == []


def test_the_status_is_read_from_what_launchctl_prints(tmp_path: Path) -> None:
    it = launchd(tmp_path, Launchctl(loaded=True))
    status = it.status()
    assert (status.running, status.pid, status.state) == (True, 4711, "running")
    assert (status.last_exit, status.restarts) == ("1", 2)
    assert status.logs == f"{it.default_log_file}, {it.default_log_file.parent}/launchd.log"
    gone = launchd(tmp_path, Launchctl()).status()
    assert (gone.installed, gone.running, gone.state) == (False, False, "not loaded")


def test_the_logs_are_where_the_installed_agent_writes_them(tmp_path: Path) -> None:
    it = launchd(tmp_path, Launchctl())
    it.file.parent.mkdir(parents=True)
    it.file.write_bytes(
        it.content(msgspec.structs.replace(PLAN, command=(*PLAN.command, "--log-file", "/var/tmp/g.log")))  # noqa: S108 - a name
    )
    assert it.status().logs == f"/var/tmp/g.log, {tmp_path}/Library/Logs/gateway/launchd.log"  # noqa: S108 - likewise


def test_a_service_that_never_exited_has_no_last_exit() -> None:
    assert read_print(WAITING)["last exit code"] == "(never exited)"
    assert read_print(RUNNING)["state"] == "running"
