"""Variants by digest, and the names that they were registered under. Runs inside a transaction."""

import re
import sqlite3

import msgspec

from gateway.contracts.admin import VariantView
from gateway.contracts.digests import parse_reference
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import Variant
from gateway.errors import NotFound

_DIGITS = re.compile(r"[0-9a-f]{8,64}")
_SELECT = """
    SELECT variant_names.name, variants.content, variant_names.created_at, archived_variants.at
    FROM variant_names JOIN variants USING (digest) LEFT JOIN archived_variants USING (digest)
"""


def add(connection: sqlite3.Connection, variant: Variant, at: str) -> VariantView:
    """Register; what was archived is so no more, for whoever registers has read its files."""
    content = msgspec.json.encode(variant)
    # The digest leaves out where the files lie; the place named last is the one where they are.
    connection.execute(
        "INSERT INTO variants VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET content = excluded.content",
        (variant.digest, content, at),
    )
    connection.execute(
        "INSERT INTO variant_names (name, digest, created_at) VALUES (?, ?, ?) ON CONFLICT (name, digest) DO NOTHING",
        (variant.name, variant.digest, at),
    )
    connection.execute("DELETE FROM archived_variants WHERE digest = ?", (variant.digest,))
    row = connection.execute(f"{_SELECT} WHERE name = ? AND digest = ?", (variant.name, variant.digest)).fetchone()
    return _view(row)


def archive(connection: sqlite3.Connection, digest: str, at: str) -> None:
    """Note that the files of the Variant of this whole digest are gone, or are about to be."""
    require(connection, digest)
    connection.execute("INSERT INTO archived_variants VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, at))


def find(connection: sqlite3.Connection, reference: str) -> VariantView:
    """Find by `name@digest`, by name (its latest), or by digest, of which 8 digits and more may stand for all."""
    parsed = parse_reference(reference)
    if parsed is not None:
        name, digits = parsed
        return _only(connection, reference, digits, name)
    row = connection.execute(f"{_SELECT} WHERE name = ? ORDER BY sequence DESC LIMIT 1", (reference,)).fetchone()
    if row is not None:
        return _view(row)
    if _DIGITS.fullmatch(reference):
        return _only(connection, reference, reference, None)
    raise _missing(reference)


def require(connection: sqlite3.Connection, digest: str) -> None:
    """Raise NotFound where no Variant has this whole digest."""
    if connection.execute("SELECT 1 FROM variants WHERE digest = ?", (digest,)).fetchone() is None:
        raise _missing(digest)


def all_views(connection: sqlite3.Connection) -> tuple[VariantView, ...]:
    return tuple(_view(row) for row in connection.execute(f"{_SELECT} ORDER BY sequence"))


def _only(connection: sqlite3.Connection, reference: str, digits: str, name: str | None) -> VariantView:
    # Digits are hexadecimal, so GLOB's own characters cannot be among them, and the primary key's index serves.
    rows = connection.execute(
        f"{_SELECT} WHERE digest GLOB ? || '*' AND (name = ? OR ? IS NULL) ORDER BY sequence", (digits, name, name)
    ).fetchall()
    if not rows:
        raise _missing(reference)
    views = [_view(row) for row in rows]
    if len({view.digest for view in views}) > 1:
        raise NotFound(
            f"{reference!r} fits several variants ({', '.join(view.reference for view in views)}): give more digits",
            code=ErrorCode.VARIANT_NOT_FOUND,
        )
    # Under several names, the first one keeps: what a digest is called must not change when it gets another.
    return views[0]


def _view(row: tuple[str, bytes, str, str | None]) -> VariantView:
    name, content, created_at, archived_at = row
    variant = msgspec.structs.replace(msgspec.json.decode(content, type=Variant), name=name)
    return VariantView(
        reference=variant.reference,
        digest=variant.digest,
        predicted_bytes=variant.engine.weights_bytes,
        created_at=created_at,
        archived_at=archived_at,
        variant=variant,
    )


def _missing(reference: str) -> NotFound:
    return NotFound(
        f"no variant {reference!r} is registered: see GET /admin/variants, or register it first",
        code=ErrorCode.VARIANT_NOT_FOUND,
    )
