"""The one shape that both writers print."""

import msgspec


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Plain text, not yet made harmless for the place where it is printed."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences under the table."""
