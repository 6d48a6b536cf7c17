"""Paths to fields, as cases write them: `get_order.customer.email`, `list_orders.orders.*.total`."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from canary.programs.shapes import Shape
from canary.programs.tools import Catalogue
from canary.programs.worlds import World

EACH = "*"
"""The step that stands for any element of a list."""

Steps = tuple[str | int, ...]


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One value in one world."""

    tool: str
    key: str
    """Of the arguments, as in the world."""
    steps: Steps
    value: Any


def leaf_shape(path: str, tools: Catalogue) -> str:
    """Return the scalar type that a path leads to. Raises ValueError where it leads to none."""
    tool, *steps = path.split(".")
    if tool not in tools:
        raise ValueError(f"field {path!r}: {tool!r} is none of the case's tools")
    shape: Shape = tools[tool].returns
    for step in steps:
        match shape:
            case dict() if step in shape:
                shape = cast("dict[str, Shape]", shape)[step]
            case [inner] if step == EACH or step.isdecimal():
                shape = inner
            case _:
                raise ValueError(f"field {path!r}: there is no {step!r} in what {tool!r} returns")
    if not isinstance(shape, str):
        raise ValueError(f"field {path!r} ends at a record or a list, and not at a value")  # noqa: TRY004 - of the path
    return shape


def leaves(path: str, world: World) -> Iterator[Leaf]:
    """Yield the values that a path leads to in a world, for all arguments and elements."""
    tool, *steps = path.split(".")
    for key, returned in world.get(tool, {}).items():
        for taken, value in _walk(returned, tuple(steps)):
            yield Leaf(tool=tool, key=key, steps=taken, value=value)


def replaced(world: World, leaf: Leaf, value: Any) -> World:
    """Return the world with another value at the leaf; what is not on the way is shared."""
    returns = world[leaf.tool]
    return world | {leaf.tool: returns | {leaf.key: _replaced(returns[leaf.key], leaf.steps, value)}}


def _walk(value: Any, steps: tuple[str, ...]) -> Iterator[tuple[Steps, Any]]:
    if not steps:
        yield (), value
        return
    step, *rest = steps
    match value:
        case dict() if step in value:
            for taken, inner in _walk(cast("dict[str, Any]", value)[step], tuple(rest)):
                yield (step, *taken), inner
        case list():
            for position, element in enumerate(cast("list[Any]", value)):
                if step in {EACH, str(position)}:
                    for taken, inner in _walk(element, tuple(rest)):
                        yield (position, *taken), inner
        case _:
            return


def _replaced(value: Any, steps: Steps, new: Any) -> Any:
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        items = cast("list[Any]", value)
        return [_replaced(item, rest, new) if position == step else item for position, item in enumerate(items)]
    return cast("dict[str, Any]", value) | {step: _replaced(value[step], rest, new)}
