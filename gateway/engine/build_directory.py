"""A model directory that appears whole or not at all, on a disk that can hold it."""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from gateway.engine.job import JobError

_MARGIN_BYTES = 64 * 1024 * 1024
"""Left free beside the result, for the tokenizer's files and the system's own needs."""


@contextmanager
def build_directory(out: Path) -> Generator[Path]:
    """Yield a fresh directory beside `out` that becomes `out` when the block ends well.

    A job that is killed leaves `.NAME.partial`, which the next one clears, or the next start of a gateway whose state
    directory it lies in: the lock on it says whether a job is still at work. One job at a time builds a directory.

    Raises JobError where `out` is taken or cannot be written.
    """
    if out.exists():
        raise JobError(f"{out} exists already; remove it or choose another directory.")
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with _locked(partial):
            yield partial
            partial.rename(out)
    except OSError as error:
        raise JobError(f"{out} cannot be written ({error.strerror}); choose another directory.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_full_disk(out: Path, needed_bytes: int) -> None:
    """Raise JobError where the disk of `out` has not the bytes that the result is predicted to take."""
    existing = next(parent for parent in (out, *out.absolute().parents) if parent.is_dir())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes + _MARGIN_BYTES:
        raise JobError(
            f"{out} needs {_gib(needed_bytes + _MARGIN_BYTES)} and {existing} has {_gib(free_bytes)} free; "
            "free some space or choose another directory."
        )


def _gib(count_bytes: int) -> str:
    return f"{count_bytes / 2**30:.2f} GiB"
