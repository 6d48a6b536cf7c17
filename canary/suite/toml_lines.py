"""Find the line of a TOML file that a complaint is about: tomllib tells no positions of what it has read."""

import re
import tomllib
from collections.abc import Sequence

from canary.grading.json_text import as_array, as_object

Step = str | int
"""A key of a table, or a position in an array."""
ANY_KEY = "*"
"""Any key of a table: of a suite's own, msgspec says no more than `[...]`."""

_AT = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+)\]|\[(?P<any>\.\.\.)\]")
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]+)`")
_SYNTAX = re.compile(r"\(at line (?P<line>\d+), column \d+\)")


def line_of(text: str, path: Sequence[Step]) -> int | None:
    """Return the line, from 1, on which the statement begins that sets the key at `path`; None where none does.

    The parser is asked: the statement ends with the shortest beginning of the file that parses and holds the key, and
    starts after the beginning that parsed before. Quadratic in the lines, for a file of some dozens after a mistake.
    """
    lines = text.split("\n")
    parsed_count = 0
    for count, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            # Says nothing; inside a string over several lines, the line after it tells.
            continue
        try:
            document = tomllib.loads("\n".join(lines[:count]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        if _holds(document, path):
            return _first_statement(lines, parsed_count, count)
        parsed_count = count
    return None


def line_of_complaint(text: str, complaint: str) -> int | None:
    """Return the line that one of msgspec's or tomllib's sentences is about, or None where it is the whole file."""
    if syntax := _SYNTAX.search(complaint):
        return int(syntax["line"])
    at = _AT.search(complaint)
    path = [_step(step) for step in _STEP.finditer(at["path"] if at else "")]
    if unknown := _UNKNOWN.search(complaint):
        path.append(unknown["key"])
    elif ANY_KEY in path:
        # Which of the keys it is remains open: only an unknown field tells itself from its like.
        path = path[: path.index(ANY_KEY)]
    return line_of(text, path) if path else None


def _step(match: re.Match[str]) -> Step:
    if match["any"] is not None:
        return ANY_KEY
    return match["key"] if match["index"] is None else int(match["index"])


def _first_statement(lines: Sequence[str], start: int, end: int) -> int:
    """Return the first of the lines after `start` that is not blank and no comment."""
    for number in range(start, end):
        if lines[number].strip() and not lines[number].lstrip().startswith("#"):
            return number + 1
    return end


def _holds(document: object, path: Sequence[Step]) -> bool:
    if not path:
        return True
    step, *rest = path
    if isinstance(step, int):
        array = as_array(document) or []
        return step < len(array) and _holds(array[step], rest)
    table = as_object(document) or {}
    if step == ANY_KEY:
        return any(_holds(value, rest) for value in table.values())
    return step in table and _holds(table[step], rest)
