"""What a state directory's registry says to somebody who only reads, whether or not a gateway uses it."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import msgspec
import psutil

from gateway.contracts.admin import VariantView
from gateway.contracts.deployments import Deployment
from gateway.registry import deployments, keys, variants
from gateway.registry.keys import IssuedKey
from gateway.registry.migrations import MIGRATIONS

_FILES = ("registry.sqlite3", "registry.sqlite3-wal")
_CLOCK_SLACK_S = 2.0
"""Between the clocks of a file system and of the process table."""


class RegistryReading(msgspec.Struct, frozen=True, kw_only=True):
    problem: str = ""
    """Why it cannot be read; empty where it can."""
    version: int = 0
    known_version: int = len(MIGRATIONS)
    """The newest that this gateway knows."""
    deployments: tuple[Deployment, ...] = ()
    variants: tuple[VariantView, ...] = ()
    keys: tuple[IssuedKey, ...] = ()
    """Those that are not revoked."""


def lock_holder(state_dir: Path) -> int | None:
    """Return the process that uses the directory. The lock itself is left alone, for a gateway that wants it now.

    The file names its holder; one that a crash has left there is told by its process's being gone, or younger.
    """
    file = state_dir / "gateway.lock"
    try:
        pid = int(file.read_text().strip() or 0)
        process = psutil.Process(pid) if pid else None
        if process is not None and process.create_time() <= file.stat().st_mtime + _CLOCK_SLACK_S:
            return pid
    except (OSError, ValueError, psutil.Error):
        pass  # no file, half a line, or a process that has ended
    return None


def read_registry(state_dir: Path) -> RegistryReading | None:
    """Read it and change nothing; None where there is none yet. Blocks.

    Where no gateway has it open, a copy is read: SQLite would write beside the file even to read it.
    """
    file = state_dir / _FILES[0]
    try:
        if not file.is_file():
            return None
        if lock_holder(state_dir) is not None:
            return _read(file)
        with tempfile.TemporaryDirectory(prefix="gateway-registry-") as directory:
            for name in _FILES:
                if (state_dir / name).is_file():
                    shutil.copyfile(state_dir / name, Path(directory, name))
            return _read(Path(directory, _FILES[0]))
    except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
        return RegistryReading(problem=str(error))


def _read(file: Path) -> RegistryReading:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if finding != "ok":
            return RegistryReading(problem=" ".join(finding.split()))
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != len(MIGRATIONS):  # its tables are others than those that are read here
            return RegistryReading(version=version)
        return RegistryReading(
            version=version,
            deployments=deployments.everything(connection),
            variants=variants.all_views(connection),
            keys=keys.everything(connection),
        )
    finally:
        connection.close()
