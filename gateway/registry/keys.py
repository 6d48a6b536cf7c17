"""API keys that were issued: what each may do and the digests of its secrets. Runs inside a transaction."""

import sqlite3

import msgspec

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.keys import KeyGrant
from gateway.errors import GateError, NotFound

_SELECT = "SELECT name, granted, secret_digest, previous_digest, previous_until_s, created_at, rotated_at FROM keys"


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    grant: KeyGrant
    secret_digest: bytes
    previous_digest: bytes | None
    previous_until_s: float
    created_at: str
    rotated_at: str | None


def everything(connection: sqlite3.Connection) -> tuple[IssuedKey, ...]:
    """Return those that are not revoked, by name."""
    rows = connection.execute(f"{_SELECT} WHERE revoked_at IS NULL ORDER BY name")
    return tuple(_issued(row) for row in rows)


def add(connection: sqlite3.Connection, name: str, grant: KeyGrant, secret_digest: bytes, at: str) -> IssuedKey:
    row = connection.execute("SELECT revoked_at FROM keys WHERE name = ?", (name,)).fetchone()
    if row is not None:
        had = "there was a key" if row[0] else "there is a key"
        raise GateError(
            f"{had} {name} already, and a name is given once, so that it means one key in every log: choose another",
            code=ErrorCode.KEY_EXISTS,
        )
    connection.execute(
        "INSERT INTO keys (name, granted, secret_digest, previous_until_s, created_at) VALUES (?, ?, ?, 0, ?)",
        (name, msgspec.json.encode(grant), secret_digest, at),
    )
    return _find(connection, name)


def rotate(
    connection: sqlite3.Connection, name: str, secret_digest: bytes, at: str, *, previous_until_s: float | None
) -> IssuedKey:
    """Give it another secret; the one until now lives until that Unix time, or is gone where there is none."""
    before = _find(connection, name)
    connection.execute(
        "UPDATE keys SET secret_digest = ?, previous_digest = ?, previous_until_s = ?, rotated_at = ? WHERE name = ?",
        (
            secret_digest,
            before.secret_digest if previous_until_s is not None else None,
            previous_until_s or 0.0,
            at,
            name,
        ),
    )
    return _find(connection, name)


def revoke(connection: sqlite3.Connection, name: str, at: str) -> None:
    _find(connection, name)
    connection.execute(
        "UPDATE keys SET secret_digest = NULL, previous_digest = NULL, revoked_at = ? WHERE name = ?", (at, name)
    )


def _find(connection: sqlite3.Connection, name: str) -> IssuedKey:
    row = connection.execute(f"{_SELECT} WHERE name = ? AND revoked_at IS NULL", (name,)).fetchone()
    if row is None:
        raise key_not_found(name)
    return _issued(row)


def key_not_found(name: str) -> NotFound:
    return NotFound(f"there is no key {name[:100]!r}: see `gateway keys list`", code=ErrorCode.KEY_NOT_FOUND)


def _issued(row: tuple[str, bytes, bytes, bytes | None, float, str, str | None]) -> IssuedKey:
    name, granted, secret_digest, previous_digest, previous_until_s, created_at, rotated_at = row
    return IssuedKey(
        name=name,
        grant=msgspec.json.decode(granted, type=KeyGrant),
        secret_digest=secret_digest,
        previous_digest=previous_digest,
        previous_until_s=previous_until_s,
        created_at=created_at,
        rotated_at=rotated_at,
    )
