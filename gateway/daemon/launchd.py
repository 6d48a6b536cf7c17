"""macOS: a launch agent of this user.

launchd has no log rotation, so the gateway rotates its own log; what Python says before that is set up, or as it dies,
goes to a second file. Exit status 0 is left alone and any other is started again, no sooner than after 30 s.
"""

import os
import plistlib
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from gateway.daemon.service_manager import COMMAND_TIMEOUT_S, Plan, Ran, Run, ServiceStatus, checked, log_file_in
from gateway.errors import StartError

LABEL = "gateway-canary.gateway"

_THROTTLE_S = 30
_OPEN_FILES = 65536
_OWN_ONLY = 0o077
"""As launchd takes a umask: a number."""
_PATH = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_POLL_S = 0.1
_STILL_ENDING = 36
"""What `bootout` answers where the process takes its time."""
_STILL_BUSY = frozenset({5, 37})
"""What `bootstrap` answers for some seconds after a `bootout`, when `print` says already that the service is gone."""
_BUSY_LIMIT_S = 30.0
_REMEDY = "log in at the Mac's screen and try again; `gateway serve` in a terminal says more of what is wrong"


class Launchd:
    def __init__(
        self,
        *,
        home: Path,
        run: Run,
        uid: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self._logs = home / "Library" / "Logs" / "gateway"
        self._domain = f"gui/{os.getuid() if uid is None else uid}"
        self._run = run
        self._sleep = sleep
        self._now_s = now_s

    @property
    def default_log_file(self) -> Path:
        return self._logs / "gateway.log"

    def content(self, plan: Plan) -> bytes:
        early_words = str(self._early_words)
        agent: dict[str, Any] = {
            "Label": LABEL,
            "ProgramArguments": list(plan.command),
            "WorkingDirectory": str(plan.working_dir),
            "EnvironmentVariables": {"PATH": _PATH},
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": _THROTTLE_S,
            "ExitTimeOut": plan.stop_timeout_s,
            # Else it gets less of the processor and the disk as soon as nobody is at the screen.
            "ProcessType": "Interactive",
            "SoftResourceLimits": {"NumberOfFiles": _OPEN_FILES},
            "HardResourceLimits": {"NumberOfFiles": _OPEN_FILES},
            "Umask": _OWN_ONLY,
            "StandardOutPath": early_words,
            "StandardErrorPath": early_words,
        }
        return plistlib.dumps(agent)

    def is_ours(self, content: bytes) -> bool:
        try:
            agent: Any = plistlib.loads(content)
            return bool(agent["ProgramArguments"][1:3] == ["service", "run"])
        except (plistlib.InvalidFileException, ExpatError, ValueError, TypeError, LookupError):
            return False

    def require(self) -> None:
        checked(self._run, "launchctl", "print", self._domain, remedy=_REMEDY)

    def start(self, *, changed: bool) -> None:
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        printed = self._printed()
        if printed is not None and not changed:
            if "pid" not in read_print(printed):  # loaded, and ended with 0: launchd does nothing by itself
                checked(self._run, "launchctl", "kickstart", self._service, remedy=_REMEDY)
            return
        self.stop()
        checked(self._run, "launchctl", "enable", self._service, remedy=_REMEDY)
        checked(self._bootstrap, "launchctl", "bootstrap", self._domain, str(self.file), remedy=_REMEDY)

    def stop(self) -> None:
        """Return when it is gone: launchd answers before that, and refuses to load what is still ending."""
        if self._printed() is None:
            return
        checked(self._bootout, "launchctl", "bootout", self._service, remedy="try again, or restart the Mac")
        deadline_s = self._now_s() + COMMAND_TIMEOUT_S
        while self._printed() is not None:
            if self._now_s() > deadline_s:
                raise StartError(
                    f"launchd still lists {LABEL} after {COMMAND_TIMEOUT_S:g} s: try again, or restart the Mac"
                )
            self._sleep(_POLL_S)

    def forget(self) -> None:
        """Nothing: `bootout` has done it."""

    def status(self) -> ServiceStatus:
        printed = self._printed()
        found = read_print(printed) if printed is not None else {}
        pid = found.get("pid", "")
        ended = found.get("last exit code", "")
        signal = found.get("last terminating signal", "")
        runs = found.get("runs", "")
        log_file = log_file_in(self._installed_command()) or self.default_log_file
        return ServiceStatus(
            installed=self.file.is_file(),
            running=pid.isdecimal(),
            state=found.get("state", "not loaded"),
            pid=int(pid) if pid.isdecimal() else None,
            last_exit=signal or ("" if "never" in ended else ended),
            restarts=max(0, int(runs) - 1) if runs.isdecimal() else None,
            file=str(self.file),
            logs=f"{log_file}, {self._early_words}",
        )

    @property
    def _early_words(self) -> Path:
        return self._logs / "launchd.log"

    @property
    def _service(self) -> str:
        return f"{self._domain}/{LABEL}"

    def _installed_command(self) -> list[str]:
        content = self.file.read_bytes() if self.file.is_file() else b""
        return plistlib.loads(content)["ProgramArguments"] if self.is_ours(content) else []

    def _bootout(self, command: Sequence[str]) -> Ran:
        ran = self._run(command)
        return Ran(0, ran.output) if ran.status == _STILL_ENDING else ran

    def _bootstrap(self, command: Sequence[str]) -> Ran:
        deadline_s = self._now_s() + _BUSY_LIMIT_S
        while (ran := self._run(command)).status in _STILL_BUSY and self._now_s() < deadline_s:
            self._sleep(_POLL_S)
        return ran

    def _printed(self) -> str | None:
        """Return what launchd says of the service; None where it is not loaded."""
        ran = self._run(("launchctl", "print", self._service))
        return ran.output if ran.status == 0 else None


def read_print(printed: str) -> dict[str, str]:
    """Read what `launchctl print` says of the service itself: one tab deep, as `state = running`. The first counts."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"^\t([a-z][a-z ]*?) = (.+)$", printed, re.MULTILINE):
        found.setdefault(name, value.strip())
    return found
