"""Mistakes in what a program goes through and does: loops, updates and effects."""

import ast
from collections.abc import Iterator

from canary.programs.mutants.oracle import Oracle, has_effect

_PARTS = (
    ast.Slice(upper=ast.Constant(1)),
    ast.Slice(upper=ast.Constant(2)),
    ast.Slice(lower=ast.Constant(1)),
    ast.Slice(upper=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(1))),
)
"""Of a list: the first element, two, all but the first, all but the last."""


def part_of_list(node: ast.AST, oracle: Oracle) -> Iterator[ast.AST]:
    """Yield a comprehension over a part of its list."""
    del oracle
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        first = node.generators[0]
        for part in _PARTS:
            generator = ast.comprehension(target=first.target, iter=_cut(first.iter, part), ifs=first.ifs, is_async=0)
            yield type(node)(elt=node.elt, generators=[generator, *node.generators[1:]])


def loop_over_part(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    """Yield with each loop over a part of its list."""
    del oracle
    for place, statement in enumerate(block):
        if isinstance(statement, ast.For):
            for part in _PARTS:
                cut = ast.For(
                    target=statement.target,
                    iter=_cut(statement.iter, part),
                    body=statement.body,
                    orelse=statement.orelse,
                    lineno=1,
                )
                yield [*block[:place], cut, *block[place + 1 :]]


def _cut(iterable: ast.expr, part: ast.Slice) -> ast.Subscript:
    whole = ast.Call(func=ast.Name(id="list", ctx=ast.Load()), args=[iterable], keywords=[])
    return ast.Subscript(value=whole, slice=part, ctx=ast.Load())


def moved_statement(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    """Yield with the effect after a loop inside it, and with a loop's last statement after it.

    What is only assigned after a loop may as well be assigned each time round.
    """
    for place, statement in enumerate(block):
        if not isinstance(statement, ast.For | ast.While):
            continue
        if place + 1 < len(block) and has_effect(block[place + 1], oracle):
            yield [*block[:place], _with_body(statement, [*statement.body, block[place + 1]]), *block[place + 2 :]]
        if len(statement.body) > 1:
            *kept, last = statement.body
            yield [*block[:place], _with_body(statement, kept), last, *block[place + 1 :]]


def _with_body(loop: ast.For | ast.While, body: list[ast.stmt]) -> ast.stmt:
    if isinstance(loop, ast.While):
        return ast.While(test=loop.test, body=body, orelse=loop.orelse)
    return ast.For(target=loop.target, iter=loop.iter, body=body, orelse=loop.orelse, lineno=1)


def replaced_total(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    """Yield with each `+=` as `=`."""
    del oracle
    for place, statement in enumerate(block):
        if isinstance(statement, ast.AugAssign):
            plain = ast.Assign(targets=[statement.target], value=statement.value, lineno=1)
            yield [*block[:place], plain, *block[place + 1 :]]


def first_page_only(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    del oracle
    for place, statement in enumerate(block):
        if isinstance(statement, ast.While):
            once = ast.While(test=statement.test, body=[*statement.body, ast.Break()], orelse=[])
            yield [*block[:place], once, *block[place + 1 :]]
        elif isinstance(statement, ast.For):
            once = ast.For(
                target=statement.target, iter=statement.iter, body=[*statement.body, ast.Break()], orelse=[], lineno=1
            )
            yield [*block[:place], once, *block[place + 1 :]]


def missing_statement(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    """Yield without each statement that is neither an effect nor a loop or decision: an update that was forgotten."""
    for place, statement in enumerate(block):
        if isinstance(statement, ast.AugAssign | ast.Assign | ast.Break | ast.Expr) and not has_effect(
            statement, oracle
        ):
            yield [*block[:place], *block[place + 1 :]]


def missing_effect(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    for place, statement in enumerate(block):
        if has_effect(statement, oracle):
            yield [*block[:place], *block[place + 1 :]]


def extra_effect(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    for place, statement in enumerate(block):
        if has_effect(statement, oracle):
            yield [*block[: place + 1], statement, *block[place + 1 :]]


def reordered_effects(block: list[ast.stmt], oracle: Oracle) -> Iterator[list[ast.stmt]]:
    if oracle.task.effects != "ordered":
        return
    for place in range(len(block) - 1):
        one, other = block[place : place + 2]
        if has_effect(one, oracle) and has_effect(other, oracle):
            yield [*block[:place], other, one, *block[place + 2 :]]
    for place, statement in enumerate(block):
        if isinstance(statement, ast.For) and any(has_effect(inner, oracle) for inner in ast.walk(statement)):
            backwards = ast.Subscript(
                value=ast.Call(func=ast.Name(id="list", ctx=ast.Load()), args=[statement.iter], keywords=[]),
                slice=ast.Slice(step=ast.Constant(-1)),
                ctx=ast.Load(),
            )
            yield [
                *block[:place],
                ast.For(target=statement.target, iter=backwards, body=statement.body, orelse=[], lineno=1),
                *block[place + 1 :],
            ]
