"""Other values for one leaf: of its type, and on both sides of whatever boundary the oracle may draw."""

import ast
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from canary.programs.paths import Leaf, leaves, replaced
from canary.programs.shapes import split_scalar
from canary.programs.worlds import World

MAX_PER_LEAF = 4


class Perturbation(msgspec.Struct, frozen=True, kw_only=True):
    """A world in which one leaf has another value."""

    path: str
    world_number: int
    """Of the world it was made from."""
    world: World


Reads = AbstractSet[tuple[str, str]]
"""Tool and key of the returns that the oracle was given in one world."""


def perturbations(
    path: str, shape: str, worlds: Sequence[World], reads: Sequence[Reads], oracle: str
) -> Iterator[Perturbation]:
    """Yield perturbations of what a path leads to and the oracle was given, spread over worlds and leaves."""
    found = [
        [(number, leaf) for leaf in leaves(path, world) if (leaf.tool, leaf.key) in reads[number]]
        for number, world in enumerate(worlds)
    ]
    constants = _constants(oracle)
    seen = [leaf.value for in_world in found for _, leaf in in_world]
    for number, leaf in _interleaved(found):
        for value in _values(leaf, shape, seen, worlds[number], constants):
            yield Perturbation(path=path, world_number=number, world=replaced(worlds[number], leaf, value))


def _interleaved(rows: list[list[tuple[int, Leaf]]]) -> Iterator[tuple[int, Leaf]]:
    """Yield the first leaf of each world, then the second of each, and so on."""
    for column in range(max(map(len, rows), default=0)):
        for row in rows:
            if column < len(row):
                yield row[column]


def _values(leaf: Leaf, shape: str, seen: list[Any], world: World, constants: list[Any]) -> list[Any]:
    """Return up to `MAX_PER_LEAF` values, those first that are likely to change the oracle's behaviour."""
    name, nullable = split_scalar(shape)
    ordered = [*_likely(leaf.value, name, seen, world, constants), *([None] if nullable else [])]
    values: list[Any] = []
    for value in ordered:
        if value not in values and not (value == leaf.value and type(value) is type(leaf.value)):
            values.append(value)
    return _spread(values)


def _spread(values: list[Any]) -> list[Any]:
    """Return `MAX_PER_LEAF` of the values, evenly chosen and with the first and the last among them."""
    if len(values) <= MAX_PER_LEAF:
        return values
    last = len(values) - 1
    return [values[round(position * last / (MAX_PER_LEAF - 1))] for position in range(MAX_PER_LEAF)]


def _likely(value: Any, name: str, seen: list[Any], world: World, constants: list[Any]) -> list[Any]:
    others = [other for other in seen if other is not None and other != value]
    match name:
        case "bool":
            return [not value, value]
        case "str":
            # A string may be an argument of another tool: one that the world knows goes on working.
            keys = "".join(key for returns in world.values() for key in returns)
            known = [other for other in others if f'"{other}"' in keys]
            written = [constant for constant in constants if isinstance(constant, str)]
            return [*known[:2], *others[:2], *[word for word in written if word in seen], f"{value or ''}x"]
        case _:
            numbers = [constant for constant in constants if not isinstance(constant, str)]
            kind = float if name == "float" else int
            around = [kind(number + step) for number in numbers for step in (1, 0, -1)]
            here = 0 if value is None else value
            return [kind(here + 1), *around, *others[:2], kind(here - 1), kind(10 * abs(here) + 1000)]


def _constants(oracle: str) -> list[Any]:
    """Return the numbers and strings that the oracle holds, boundaries among them."""
    return [
        node.value
        for node in ast.walk(ast.parse(oracle))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, int | float | str)
        and not isinstance(node.value, bool)
    ]
