"""What a service runs: a command line that means the same without the shell that it was installed from."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.daemon.service_manager import ManagerName, Plan
from gateway.doctor.finding import Health
from gateway.doctor.place import examine_keys
from gateway.errors import StartError
from gateway.registry import read_registry
from gateway.settings import LoadedSettings

_MARGIN_S = 15.0
"""Between the longest end that a gateway takes and its being killed."""


def make_plan(
    loaded: LoadedSettings,
    manager: ManagerName,
    *,
    config: Path | None,
    flags: Mapping[str, object],
    default_log_file: Path | None,
) -> Plan:
    """Return what is to run. Raises StartError for what would not start as a service, or be something else there."""
    _refuse_environment(loaded)
    _refuse_secrets(loaded)
    settings = loaded.settings
    log_file = Path(settings.log.file).expanduser().absolute() if settings.log.file else default_log_file
    arguments = [*(("--config", str(config.expanduser().absolute())) if config is not None else ())]
    given = {name: value for name, value in flags.items() if value is not None and name != "log_file"}
    for name, value in given.items():
        arguments += [f"--{name.replace('_', '-')}", _absolute(name, str(value))]
    if "state_dir" not in given:  # where it is by default depends on the environment
        arguments += ["--state-dir", settings.state_dir]
    if log_file is not None:
        arguments += ["--log-file", str(log_file)]
    return Plan(
        command=(str(_program()), "service", "run", "--manager", manager.value, *arguments),
        working_dir=Path.cwd(),
        stop_timeout_s=math.ceil(settings.server.drain_timeout_s + settings.engine.stop_timeout_s + _MARGIN_S),
    )


def _absolute(name: str, value: str) -> str:
    is_path = name == "state_dir" or (name == "model" and value.startswith((".", "/", "~")))
    return str(Path(value).expanduser().absolute()) if is_path else value


def _program() -> Path:
    """Return the installed `gateway` of this very environment."""
    program = Path(sys.executable).parent / "gateway"
    if not program.is_file():
        raise StartError(
            f"there is no program {program}, so nothing could be started: install the package into an environment that"
            " stays, with `uv tool install` or `pip install`"
        )
    return program


def _refuse_environment(loaded: LoadedSettings) -> None:
    for path, origin in loaded.origins.items():
        if origin.startswith("environment "):
            raise StartError(
                f"setting {path} comes from {origin}, which a service does not have: write it into the configuration"
                " file"
            )


def _refuse_secrets(loaded: LoadedSettings) -> None:
    settings = loaded.settings
    for key in settings.keys:
        if key.secret_env is not None:
            raise StartError(
                f"key {key.name} takes its secret from the environment variable {key.secret_env}, which a service does"
                " not have: write it into a file of mode 600 and name that as `secret_file`"
            )
    registry = read_registry(Path(settings.state_dir))
    for finding in examine_keys(settings, registry, {}):
        if finding.health in {Health.FAILURE, Health.WARNING}:
            raise StartError(f"{finding.check}: {finding.detail}: {finding.remedy}")
