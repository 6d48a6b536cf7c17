"""Digests of files that have been read before, so that a model of many gigabytes is hashed once. In a transaction."""

import sqlite3

import msgspec

from gateway.contracts.files import FileState


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
