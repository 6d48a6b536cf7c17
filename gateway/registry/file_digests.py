"""Digests of files that have been read before, so that a model of many gigabytes is hashed once. In a transaction."""

import sqlite3

import msgspec


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """What of a file changes when its content does."""

    path: str
    size_bytes: int
    mtime_ns: int
    inode: int


def find(connection: sqlite3.Connection, state: FileState) -> str | None:
    row = connection.execute(
        "SELECT digest FROM file_digests WHERE path = ? AND size_bytes = ? AND mtime_ns = ? AND inode = ?",
        msgspec.structs.astuple(state),
    ).fetchone()
    return row[0] if row is not None else None


def store(connection: sqlite3.Connection, state: FileState, digest: str) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO file_digests (path, size_bytes, mtime_ns, inode, digest) VALUES (?, ?, ?, ?, ?)",
        (*msgspec.structs.astuple(state), digest),
    )
