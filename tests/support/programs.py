"""The installed programs `gateway` and `canary`, started as a person starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PATIENCE_S = 30.0
"""Long enough for a machine that does a great deal else; what takes it is a failure."""

_SCRIPTS = Path(sys.executable).parent
_LOG = "gateway.log"


def run(
    program: str, *arguments: str | Path, cwd: Path, environ: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `gateway` or `canary` to its end and return what it said and its exit status."""
    return subprocess.run(
        [_SCRIPTS / program, *arguments],
        cwd=cwd,
        env=environment(cwd, environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def program(name: str) -> Path:
    """Return the path of an installed program."""
    return _SCRIPTS / name


@contextmanager
def running(program: str, *arguments: str | Path, home: Path) -> Generator[subprocess.Popen[bytes]]:
    """Have `gateway` or `canary` run in the block, in `home` and in silence; kill it at the block's end."""
    process = subprocess.Popen(
        [_SCRIPTS / program, *arguments],
        cwd=home,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the test's environment without the developer's own settings, and with state kept below `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, "XDG_STATE_HOME": str(home / "xdg-state"), **(more or {})}


def sitecustomized(directory: Path, code: str) -> dict[str, str]:
    """Return the environment in which every Python process, a child's child too, runs `code` as it starts.

    What a test cannot bring about on any machine, such as a full disk, is so without a hook in the product.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text(code)
    search_path = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(search_path)}


class RunningGateway:
    """A `gateway` that serves."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        self.process = process
        self.home = home
        """Its working directory; its state directory is `state` in it."""
        wait_until(lambda: self._event("gateway_ready") is not None, alive=self._still_runs)
        ready = self._event("gateway_ready")
        assert ready is not None
        self.url = ready["url"]

    @property
    def log(self) -> str:
        return (self.home / _LOG).read_text()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=PATIENCE_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def _event(self, name: str) -> dict[str, str] | None:
        return next((event for event in events_in(self.log) if event["event"] == name), None)

    def _still_runs(self) -> None:
        assert self.process.poll() is None, f"gateway ended with {self.process.returncode}:\n{self.log}"


@contextmanager
def gateway_serving(
    home: Path, *arguments: str | Path, environ: Mapping[str, str] | None = None
) -> Generator[RunningGateway]:
    """Run `gateway serve` on a free port, in `home` and with its state there; end it with the context."""
    with (home / _LOG).open("wb") as stderr:
        process = subprocess.Popen(
            [_SCRIPTS / "gateway", "serve", "--port", "0", "--state-dir", home / "state", *arguments],
            cwd=home,
            env=environment(home, environ),
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield RunningGateway(process, home)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End it where it has not ended, and raise where that takes more than patience."""
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def events_in(log: str) -> list[dict[str, Any]]:
    """Return the events of a log, as far as their lines are whole."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{") and line.endswith("}")]


def wait_until(
    condition: Callable[[], bool], *, patience_s: float = PATIENCE_S, alive: Callable[[], None] | None = None
) -> None:
    """Wait for the condition to hold; `alive` raises where waiting has become pointless."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        if alive is not None:
            alive()
        assert time.monotonic() < deadline_s, f"it did not come to pass in {patience_s:g} s"
        time.sleep(0.02)
