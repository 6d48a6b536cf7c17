"""The one thread that touches SQLite, and the translation of what goes wrong there."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gateway.errors import GatewayError, StartError
from gateway.registry.migrations import NewerSchema, migrate

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Database:
    """Runs one transaction after another. The state lock keeps other processes out, so none waits for a lock."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def open(self) -> None:
        """Open or create the file and migrate it. Raises StartError."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the thread after the transactions that wait for it; to close twice does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def transact(self, work: Work[T]) -> T:
        """Run `work` in a transaction that any exception undoes.

        A caller that is cancelled stops waiting, and a transaction that has begun is still finished. Raises what
        `work` raises, and GatewayError for what SQLite says.
        """
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def transact_from_thread(self, work: Work[T]) -> T:
        """As `transact`, for a thread that may block; on the event loop's it would stop everything."""
        self._require_open()
        return self._thread.submit(self._transact, work).result()

    def _open(self) -> None:
        try:
            connection = sqlite3.connect(self._file, isolation_level=None, timeout=5)
            self._connection = connection
            # A full sync at each commit: what was answered as recorded or promoted survives a power cut.
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if finding != "ok":
                raise _damaged(self._file, " ".join(finding.split()))
            migrate(connection)
        except NewerSchema as error:
            raise StartError(
                f"registry {self._file} was written by a newer gateway ({error}): update the gateway, or name another"
                " directory with --state-dir"
            ) from error
        except sqlite3.OperationalError as error:
            raise StartError(
                f"registry {self._file} cannot be opened ({error}): see that the disk has space and this user may write"
                " there, or name another directory with --state-dir"
            ) from error
        except sqlite3.DatabaseError as error:
            raise _damaged(self._file, str(error)) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transact(self, work: Work[T]) -> T:
        connection = self._connection
        if connection is None:
            raise self._is_closed()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite itself has rolled back where the disk was full or failed.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise GatewayError(
                f"registry {self._file} cannot be read or written ({error}): see that its disk has space and works;"
                " nothing was changed"
            ) from error
        return result

    def _require_open(self) -> None:
        if self._closed:
            raise self._is_closed()

    def _is_closed(self) -> GatewayError:
        return GatewayError(f"registry {self._file} is closed: the gateway is shutting down")


def _damaged(file: Path, finding: str) -> StartError:
    return StartError(
        f"registry {file} is damaged ({finding}): restore it from a backup, or move it away to start with an empty one"
    )
