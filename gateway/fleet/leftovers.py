"""Engine processes that outlived their gateway: noted while they live, and ended when the next gateway starts.

An engine ends with its gateway by itself (`gateway/engine/parent.py`). One that is stopped, on a system that cannot
kill it with its parent, does not.
"""

import contextlib
from pathlib import Path

import msgspec
import psutil

_KILL_TIMEOUT_S = 5.0


class _Note(msgspec.Struct, frozen=True):
    pid: int
    started_s: float
    """A process id is used again; a process id and the time of its start are not."""


class Leftovers:
    """Notes on engine processes, each a file under `<state>/engines`. The state lock keeps other gateways out."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "engines"

    def note(self, pid: int) -> None:
        """Note a process that has just been started. Where that cannot be written, it is served all the same."""
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            note = _Note(pid, psutil.Process(pid).create_time())
            self._directory.mkdir(parents=True, exist_ok=True)
            self._file(pid).write_bytes(msgspec.json.encode(note))

    def forget(self, pid: int) -> None:
        """Note that it has ended."""
        with contextlib.suppress(OSError):
            self._file(pid).unlink()

    def end(self) -> list[int]:
        """Kill the processes that an earlier gateway has left, remove all notes, and return whom it killed. Blocks."""
        killed: list[psutil.Process] = []
        for file in self._directory.glob("*.json"):
            process = _process_of(file)
            if process is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    killed.append(process)
            file.unlink(missing_ok=True)
        psutil.wait_procs(killed, timeout=_KILL_TIMEOUT_S)
        return [process.pid for process in killed]

    def _file(self, pid: int) -> Path:
        return self._directory / f"{pid}.json"


def _process_of(file: Path) -> psutil.Process | None:
    """Return the process that a note is about, if it still is that process."""
    try:
        note = msgspec.json.decode(file.read_bytes(), type=_Note)
        process = psutil.Process(note.pid)
        if process.create_time() == note.started_s:
            return process
    except (OSError, msgspec.DecodeError, psutil.Error):
        pass  # a note that a crash cut short, or a process that has ended
    return None
