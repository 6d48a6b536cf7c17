"""A program's values as plain data that can be sent and compared."""

from typing import Any, cast

import msgspec

MAX_DEPTH = 32
MAX_ARGUMENT_BYTES = 64 * 1024
_INT64 = 2**63


class TooLarge(ValueError):
    """A value that is nested too deeply or takes too many bytes."""


def plain(value: Any, *, max_bytes: int = MAX_ARGUMENT_BYTES) -> Any:
    """Return JSON, with `{"$type": text}` for what JSON lacks: sets, bytes, functions, integers of more than 64 bits.

    Raises TooLarge.
    """
    converted = _plain(value, MAX_DEPTH)
    if len(msgspec.msgpack.encode(converted)) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes")
    return converted


def _plain(value: Any, depth: int) -> Any:
    if depth == 0:
        raise TooLarge(f"nested deeper than {MAX_DEPTH} levels")
    match value:
        case None | bool() | float() | str():
            return value
        case int() if -_INT64 <= value < _INT64:
            return value
        case list() | tuple():
            return [_plain(item, depth - 1) for item in cast("list[Any]", value)]
        case dict() if all(isinstance(key, str) for key in cast("dict[Any, Any]", value)):
            return {key: _plain(item, depth - 1) for key, item in cast("dict[str, Any]", value).items()}
        case set() | frozenset():
            return {"$set": sorted(repr(item) for item in cast("set[Any]", value))}
        case _:
            return {f"${type(value).__name__}": repr(value)}
