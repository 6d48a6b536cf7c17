"""The oracle that mutants are made from, and what operators ask of its syntax tree and its tools."""

import ast
from collections.abc import Callable, Iterator
from typing import cast

import msgspec

from canary.programs.behaviour import Behaviour
from canary.programs.reference import Task
from canary.programs.shapes import Shape


class Oracle(msgspec.Struct, frozen=True, kw_only=True):
    """What operators look at."""

    task: Task
    first: Behaviour
    """The oracle's behaviour in the first world."""

    @property
    def effect_tools(self) -> frozenset[str]:
        return frozenset(name for name, tool in self.task.tools.items() if tool.effect)


NodeOperator = Callable[[ast.AST, Oracle], Iterator[ast.AST]]
"""Yields what may stand in a node's place."""
BlockOperator = Callable[[list[ast.stmt], Oracle], Iterator[list[ast.stmt]]]
"""Yields what may stand in a block's place."""


def key_of(node: ast.AST) -> str | None:
    """Return the name in `something['name']` that is read."""
    match node:
        case ast.Subscript(slice=ast.Constant(value=str() as key), ctx=ast.Load()):
            return key
        case _:
            return None


def subscript(node: ast.AST, key: str) -> ast.Subscript:
    return ast.Subscript(value=cast("ast.Subscript", node).value, slice=ast.Constant(key), ctx=ast.Load())


def has_effect(node: ast.AST, oracle: Oracle) -> bool:
    """Return whether this is a simple statement that calls a tool with an effect."""
    return isinstance(node, ast.Expr | ast.Assign) and any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in oracle.effect_tools
        for inner in ast.walk(node)
    )


def records(oracle: Oracle) -> Iterator[dict[str, Shape]]:
    for tool in oracle.task.tools.values():
        yield from _records_in(tool.returns)


def _records_in(shape: Shape) -> Iterator[dict[str, Shape]]:
    match shape:
        case dict():
            fields = cast("dict[str, Shape]", shape)
            yield fields
            for inner in fields.values():
                yield from _records_in(inner)
        case [inner]:
            yield from _records_in(inner)
        case _:
            return


def siblings(record: dict[str, Shape], key: str) -> list[str]:
    """Return the other fields, those of the same type first."""
    others = [name for name in record if name != key]
    return sorted(others, key=lambda name: record[name] != record[key])
