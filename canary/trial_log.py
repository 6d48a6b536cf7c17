"""The trials of a run that is not over, on disk: one a line, so that a killed run goes on where it was."""

import fcntl
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from canary.errors import UsageError
from gateway.contracts.evaluations import Completion, ErrorCause, Grade, TrialError, Ungraded

Place = tuple[int, str]
"""Of a trial: the position of its system in the record, and its case."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one trial, before it has a place in a record."""

    result: Completion | TrialError
    grade: Grade | Ungraded
    run_in: str | None = None
    """As of a Trial."""

    @property
    def is_lost(self) -> bool:
        """Whether the infrastructure failed, so that it says nothing."""
        return isinstance(self.result, TrialError) and self.result.cause is ErrorCause.INFRASTRUCTURE


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    begun_s: float
    """Unix time."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    system: int
    case_id: str
    tried: Tried


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_line = msgspec.json.Decoder(_Line).decode


def default_log_directory(environ: Mapping[str, str]) -> Path:
    """Return where the logs lie: below XDG_STATE_HOME, or ~/.local/state."""
    state = environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "canary" / "runs"


class TrialLog:
    """Append-only, flushed with every trial, and one process's at a time; use as a context manager.

    What the infrastructure failed is not kept: a run that goes on tries it again.
    """

    def __init__(self, directory: Path, key: str, *, max_age_s: float, now_s: float, fresh: bool = False) -> None:
        """`key` names all that the trials depend on. A log that was begun too long ago starts over, as with `fresh`.

        Raises UsageError where another process runs the same, or the directory cannot be written.
        """
        self._path = directory / f"{key}.jsonl"
        self._writing = threading.Lock()
        self.kept: dict[Place, Tried] = {}
        """What an earlier process had run when it ended."""
        self._file = self._open()
        try:
            end = 0 if fresh else self._read(begun_after_s=now_s - max_age_s)
            self._file.truncate(end)
            self._file.seek(end)
            if end == 0:
                self._write(_Head(begun_s=now_s))
        except OSError as error:
            self._file.close()
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._writing:  # a trial that ends later is not kept
            self._file.close()

    def keep(self, place: Place, tried: Tried) -> None:
        """Write one trial down; from whatever thread."""
        with self._writing:
            if not self._file.closed and not tried.is_lost:
                self._write(_Line(system=place[0], case_id=place[1], tried=tried))

    def remove(self) -> None:
        """Forget the run: it is recorded."""
        self._path.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        try:
            # Only the owner's: answers stand in it.
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        file = os.fdopen(descriptor, "r+b")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise UsageError(
                f"another canary runs this very evaluation (it holds {self._path}): wait for it, or stop it"
            ) from error
        except OSError as error:
            file.close()
            raise self._unwritable(error) from error
        return file

    def _read(self, *, begun_after_s: float) -> int:
        """Read what is there, and return where its last whole line ends; 0 where nothing of it is of use."""
        end = 0
        try:
            for line in self._file:
                if not line.endswith(b"\n"):
                    break
                if end == 0:
                    if _decode_head(line).begun_s < begun_after_s:
                        break
                else:
                    read = _decode_line(line)
                    self.kept[read.system, read.case_id] = read.tried
                end += len(line)
        except msgspec.DecodeError:
            pass  # torn when the machine went down, or no line of ours: what stands before it is whole
        return end

    def _write(self, line: _Head | _Line) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self._path.parent} is not writable ({error.strerror}): canary keeps the trials of a run there. Give "
            "this user the right, or set XDG_STATE_HOME to another directory"
        )
