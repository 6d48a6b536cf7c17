"""Mistakes in what a program reads and says: fields, records, texts, and the tools it calls."""

import ast
from collections.abc import Iterator
from typing import cast

from canary.programs.mutants.oracle import Oracle, key_of, records, siblings, subscript
from canary.programs.paths import leaves

SIBLINGS_COUNT = 2
"""Wrong fields tried for each field."""


def hard_coded_program(oracle: Oracle) -> str:
    """Return the program that does, whatever the world, what the oracle does in the first."""
    calls = [
        f"{effect.tool}({', '.join(f'{name}={value!r}' for name, value in effect.arguments.items())})"
        for effect in oracle.first.effects
    ]
    result = [f"result = {oracle.first.result!r}"] if oracle.task.wants_result else []
    return "\n".join([*calls, *result]) or "pass"


def hard_coded_field(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    key = key_of(node)
    for path in oracle.task.fields:
        if key is not None and path.split(".")[-1] == key:
            for leaf in leaves(path, oracle.task.worlds[0]):
                yield ast.Constant(leaf.value)
                return


def wrong_field(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    key = key_of(node)
    if key is None:
        return
    others = [name for record in records(oracle) if key in record for name in siblings(record, key)]
    for sibling in list(dict.fromkeys(others))[:SIBLINGS_COUNT]:
        yield subscript(node, sibling)


def whole_object(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    if key_of(node) is not None:
        yield cast("ast.Subscript", node).value


def attribute_style(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    del oracle
    key = key_of(node)
    if key is not None:
        yield ast.Attribute(value=cast("ast.Subscript", node).value, attr=key, ctx=ast.Load())


def dropped_hop(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    """Yield the record a reading call's argument was taken from, or that argument, in the call's place."""
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=[ast.keyword(value=ast.Subscript() as argument)]) if (
            name in oracle.task.tools and name not in oracle.effect_tools and key_of(argument) is not None
        ):
            yield argument.value
            yield argument
        case _:
            return


def wrong_tool(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in oracle.task.tools:
            tool = oracle.task.tools[name]
            for other, definition in oracle.task.tools.items():
                if other != name and definition.effect == tool.effect:
                    yield ast.Call(func=ast.Name(id=other, ctx=ast.Load()), args=node.args, keywords=node.keywords)
        case _:
            return


def wrong_literal(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=str() as text) if not any(text in record for record in records(oracle)):
            yield ast.Constant(f"{text}x")
        case _:
            return


def other_literal(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    """Yield the program's other texts: the word for the other case, the other record."""
    match node:
        case ast.Constant(value=str() as text) if not any(text in record for record in records(oracle)):
            texts = {
                other.value
                for other in ast.walk(ast.parse(oracle.task.oracle))
                if isinstance(other, ast.Constant) and isinstance(other.value, str)
            }
            fields = {name for record in records(oracle) for name in record}
            for other in sorted(texts - fields - {text}):
                yield ast.Constant(other)
        case _:
            return


def swapped_arguments(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    """Yield a tool's call with two neighbouring arguments of one type exchanged."""
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in oracle.task.tools:
            types = oracle.task.tools[name].arguments
            for place in range(len(keywords) - 1):
                one, other = keywords[place : place + 2]
                if one.arg and other.arg and types[one.arg] == types[other.arg]:
                    swapped = [ast.keyword(arg=one.arg, value=other.value), ast.keyword(arg=other.arg, value=one.value)]
                    yield ast.Call(
                        func=node.func, args=node.args, keywords=[*keywords[:place], *swapped, *keywords[place + 2 :]]
                    )
        case _:
            return
