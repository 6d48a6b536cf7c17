"""Linux: a unit of this user's systemd.

The journal keeps the log and rotates it. What ends with a crash is started again; what ends with the status of a wrong
configuration is not. The options that confine it are those that a user's systemd can keep without namespaces.
"""

import re
import shlex
from pathlib import Path

from gateway.daemon.service_manager import ManagerName, Plan, Run, ServiceStatus, checked, log_file_in

UNIT = "gateway.service"

_MARK = "# Written by `gateway service install`; `gateway service uninstall` removes it."
_SYSTEMCTL = ("systemctl", "--user")
_LOGS = f"journalctl --user -u {UNIT}"
_RESTART_S = 5
_OPEN_FILES = 65536
_REMEDY = (
    "log in as this user, not by su or sudo; over ssh and at boot it takes `loginctl enable-linger`, and in a container"
    " there is no systemd"
)
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "MainPID", "Result", "ExecMainStatus", "NRestarts")


class Systemd:
    def __init__(self, *, config_home: Path, run: Run) -> None:
        self.file = config_home / "systemd" / "user" / UNIT
        self._run = run

    @property
    def default_log_file(self) -> None:
        return None

    def content(self, plan: Plan) -> bytes:
        lines = (
            _MARK,
            "[Unit]",
            "Description=gateway: serves a model behind OpenAI's API",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={' '.join(map(_quoted, plan.command))}",
            f"WorkingDirectory={_escaped(str(plan.working_dir))}",
            "Restart=on-failure",
            f"RestartSec={_RESTART_S}",
            f"RestartPreventExitStatus={ManagerName.SYSTEMD.refusal_status}",
            # The gateway ends its engines itself; who outlives it is killed.
            "KillMode=mixed",
            f"TimeoutStopSec={plan.stop_timeout_s}",
            f"LimitNOFILE={_OPEN_FILES}",
            "UMask=0077",
            "NoNewPrivileges=yes",
            "LockPersonality=yes",
            "RestrictRealtime=yes",
            "RestrictSUIDSGID=yes",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            "SystemCallArchitectures=native",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        )
        return "\n".join(lines).encode()

    def is_ours(self, content: bytes) -> bool:
        return content.startswith(_MARK.encode())

    def require(self) -> None:
        checked(self._run, *_SYSTEMCTL, "show", "--property=Version", remedy=_REMEDY)

    def start(self, *, changed: bool) -> None:
        self._reload()
        checked(self._run, *_SYSTEMCTL, "enable", UNIT, remedy=_REMEDY)
        # `restart` starts what does not run; `start` leaves alone what does.
        checked(self._run, *_SYSTEMCTL, "restart" if changed else "start", UNIT, remedy=f"`{_LOGS}` says why")

    def stop(self) -> None:
        checked(self._run, *_SYSTEMCTL, "disable", "--now", UNIT, remedy=_REMEDY)

    def forget(self) -> None:
        self._reload()
        self._run((*_SYSTEMCTL, "reset-failed", UNIT))  # fails where it had not failed, which is as well

    def status(self) -> ServiceStatus:
        shown = checked(self._run, *_SYSTEMCTL, "show", UNIT, f"--property={','.join(_PROPERTIES)}", remedy=_REMEDY)
        found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        pid, restarts = found.get("MainPID", ""), found.get("NRestarts", "")
        result = found.get("Result", "")
        log_file = log_file_in(self._installed_command())
        return ServiceStatus(
            installed=self.file.is_file(),
            running=found.get("ActiveState") == "active",
            state=f"{found.get('ActiveState', 'unknown')} ({found.get('SubState', 'unknown')})",
            pid=int(pid) if pid.isdecimal() and pid != "0" else None,
            last_exit="" if result in {"", "success"} else f"{result}, status {found.get('ExecMainStatus', '?')}",
            restarts=int(restarts) if restarts.isdecimal() else None,
            file=str(self.file),
            logs=f"{log_file}, {_LOGS}" if log_file is not None else _LOGS,
        )

    def _installed_command(self) -> list[str]:
        unit = self.file.read_text() if self.file.is_file() else ""
        line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        return [_unquoted(argument) for argument in shlex.split(line[1])] if line else []

    def _reload(self) -> None:
        checked(self._run, *_SYSTEMCTL, "daemon-reload", remedy=_REMEDY)


def _quoted(argument: str) -> str:
    """Return it as ExecStart takes it: `%` begins a specifier and `$` a variable there."""
    text = _escaped(argument).replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _unquoted(argument: str) -> str:
    return argument.replace("$$", "$").replace("%%", "%")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
