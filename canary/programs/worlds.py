"""Worlds: what each tool returns, by its arguments."""

from typing import Any

import msgspec

from canary.programs.shapes import conform
from canary.programs.tools import Arguments, Catalogue, Tool, argument_key

ANY = "*"
"""The key of the return that holds for all arguments that have none of their own."""

World = dict[str, dict[str, Any]]
"""By tool, then by `argument_key` or `ANY`."""


class NoReturn(LookupError):
    """A call for whose arguments the world holds nothing: to the program, something that does not exist."""


def return_key(world: World, tool: str, arguments: Arguments) -> str:
    """Return the key of what the tool returns in this world. Raises NoReturn."""
    returns = world.get(tool, {})
    key = argument_key(arguments)
    if key in returns:
        return key
    if ANY in returns:
        return ANY
    raise NoReturn(f"{tool}: nothing is found for {key}")


def typed_world(world: World, catalogue: Catalogue, where: str) -> World:
    """Return the world with its values conformed and its keys canonical. Raises ValueError, which says where."""
    typed: World = {}
    for name, returns in world.items():
        if name not in catalogue:
            raise ValueError(f"{where}: {name!r} is none of the case's tools ({', '.join(catalogue)})")
        tool = catalogue[name]
        typed[name] = {}
        for key, value in returns.items():
            canonical = key if key == ANY else _canonical_key(key, tool, f"{where}.{name}")
            typed[name][canonical] = conform(value, tool.returns, f"{where}.{name}[{key}]")
    return typed


def _canonical_key(key: str, tool: Tool, where: str) -> str:
    try:
        arguments = msgspec.json.decode(key.encode(), type=dict[str, Any])
        return argument_key(tool.bind((), arguments))
    except ValueError as error:
        raise ValueError(
            f"{where}: the key {key!r} is not {ANY!r} and not the tool's arguments as JSON: {error}"
        ) from error
