"""Remove what a gateway that was killed has left in its state directory. Runs under the state lock."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog

from gateway.fleet.leftovers import Leftovers

_log = structlog.get_logger()

_PARTIAL = ".*.partial"
"""What `gateway/engine/build_directory.py` calls a directory before it is whole."""


def clean_up(state_dir: Path) -> None:
    """End orphaned engines and remove half-built models. Blocks, and raises nothing: it is no reason not to start."""
    for pid in Leftovers(state_dir).end():
        _log.warning("orphaned_engine_killed", pid=pid)
    remove_half_built(state_dir / "models")


def remove_half_built(models: Path) -> None:
    """Remove what jobs have left that were killed. Blocks, and raises nothing."""
    for directory in _half_built(models):
        shutil.rmtree(directory, ignore_errors=True)
        _log.info("half_built_model_removed", path=str(directory))


def _half_built(models: Path) -> Iterator[Path]:
    """Yield the directories that no living job is building: a job holds a lock on its own, and the kernel frees it."""
    for directory in sorted(models.rglob(_PARTIAL)):
        with contextlib.suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield directory
            finally:
                os.close(descriptor)
