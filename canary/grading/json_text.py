"""Read the JSON that an answer consists of."""

import re
from typing import cast

import msgspec

MAX_DEPTH = 64
"""Levels of nesting. What is deeper is no answer to any question, and would end the recursion of what compares it."""

_MAX_INTEGER_BITS = 1024
"""Of a number: what a float can hold, and JSON's readers elsewhere with it."""

_FENCED = re.compile(r"\A```[A-Za-z0-9_-]*[ \t]*\n(?P<body>.*?)\n?```\s*\Z", re.DOTALL)


class NotJson(ValueError):
    """Says in a few words why the answer is no JSON."""


def read_json(answer: str) -> object:
    """Parse the whole answer, or the one fenced block that it consists of. Raises NotJson."""
    text = answer.strip()
    if fenced := _FENCED.match(text):
        text = fenced["body"]
    try:
        value: object = msgspec.json.decode(text)
    except RecursionError as error:
        raise NotJson(f"nested deeper than {MAX_DEPTH} levels") from error
    except msgspec.DecodeError as error:
        raise NotJson(f"no JSON: {error}") from error
    except UnicodeEncodeError as error:
        raise NotJson("no JSON: a lone surrogate") from error
    if is_too_deep(value):
        raise NotJson(f"nested deeper than {MAX_DEPTH} levels")
    if _holds_huge_integer(value):
        raise NotJson("no JSON: a number out of range")
    return value


def as_object(value: object) -> dict[str, object] | None:
    """Return a JSON object as such, and None for anything else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def as_array(value: object) -> list[object] | None:
    """Return a JSON array as such, and None for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else None


def children(value: object) -> list[object]:
    """Return the values directly inside an object or array."""
    entries = as_object(value)
    return list(entries.values()) if entries is not None else as_array(value) or []


def is_too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for each in level for child in children(each)]
        if not level:
            return False
    return True


def _holds_huge_integer(value: object) -> bool:
    if isinstance(value, int):
        return value.bit_length() > _MAX_INTEGER_BITS
    return any(_holds_huge_integer(each) for each in children(value))


def canonical(value: object, *, any_order: bool = False) -> object:
    """Return the value in a form in which equality is JSON's: `1` is `1.0` and no `true`; keys have no order.

    With `any_order` an array is the multiset of its elements, at every level.
    """
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if (entries := as_object(value)) is not None:
        return {key: canonical(each, any_order=any_order) for key, each in entries.items()}
    if (array := as_array(value)) is not None:
        elements = [canonical(each, any_order=any_order) for each in array]
        return sorted(elements, key=_sort_key) if any_order else elements
    return value


def _sort_key(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
