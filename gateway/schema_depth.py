"""How deep a JSON value that a client sends may be nested where it is a schema."""

from collections.abc import Mapping
from typing import Any, cast

MAX_SCHEMA_DEPTH = 48
"""Levels of objects and arrays in one schema: what renders and compiles it recurses."""


def is_deeper(value: object, limit: int) -> bool:
    """Say whether a JSON value has more levels of objects and arrays than that; it is walked without recursion."""
    level: list[object] = [value]
    for _ in range(limit + 1):
        inner: list[object] = []
        for one in level:
            if isinstance(one, Mapping):
                inner.extend(cast("Mapping[str, Any]", one).values())
            elif isinstance(one, list):
                inner.extend(cast("list[Any]", one))
        if not inner:
            return False
        level = inner
    return True
