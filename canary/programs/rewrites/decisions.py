"""The same decisions, written otherwise."""

import ast
from typing import Any, cast

from canary.programs.reference import Task
from canary.programs.rewrites.trees import assign, everywhere


def swapped_branches(tree: ast.Module, task: Task) -> ast.Module:
    del task

    def replaced(node: Any) -> Any:
        if isinstance(node, ast.If) and node.orelse:
            return ast.If(test=ast.UnaryOp(op=ast.Not(), operand=node.test), body=node.orelse, orelse=node.body)
        return node

    return everywhere(tree, replaced)


_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.Lt,
    ast.Lt: ast.Gt,
    ast.GtE: ast.LtE,
    ast.LtE: ast.GtE,
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
}
_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.LtE,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def flipped_comparison(tree: ast.Module, task: Task) -> ast.Module:
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.Compare(ops=[operator], comparators=[right]) if type(operator) in _FLIPPED:
                return ast.Compare(left=right, ops=[_FLIPPED[type(operator)]()], comparators=[node.left])
            case _:
                return node

    return everywhere(tree, replaced)


def negated_comparison(tree: ast.Module, task: Task) -> ast.Module:
    """`a > b` as `not a <= b`."""
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.Compare(ops=[operator]):
                opposite = ast.Compare(left=node.left, ops=[_NEGATED[type(operator)]()], comparators=node.comparators)
                return ast.UnaryOp(op=ast.Not(), operand=opposite)
            case _:
                return node

    return everywhere(tree, replaced)


def split_chain(tree: ast.Module, task: Task) -> ast.Module:
    """`a <= x <= b` as `a <= x and x <= b`."""
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.Compare(ops=[first, second], comparators=[middle, right]):
                return ast.BoolOp(
                    op=ast.And(),
                    values=[
                        ast.Compare(left=node.left, ops=[first], comparators=[middle]),
                        ast.Compare(left=middle, ops=[second], comparators=[right]),
                    ],
                )
            case _:
                return node

    return everywhere(tree, replaced)


def none_by_equality(tree: ast.Module, task: Task) -> ast.Module:
    """`is None` as `== None`."""
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.Compare(ops=[ast.Is() | ast.IsNot() as operator], comparators=[ast.Constant(value=None)]):
                equality = ast.Eq() if isinstance(operator, ast.Is) else ast.NotEq()
                return ast.Compare(left=node.left, ops=[equality], comparators=node.comparators)
            case _:
                return node

    return everywhere(tree, replaced)


def conditional_expression(tree: ast.Module, task: Task) -> ast.Module:
    """An `if` whose branches assign one variable as a conditional expression."""
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.If(
                body=[ast.Assign(targets=[ast.Name(id=one)], value=yes)],
                orelse=[ast.Assign(targets=[ast.Name(id=other)], value=no)],
            ) if one == other:
                return assign(one, ast.IfExp(test=node.test, body=yes, orelse=no))
            case _:
                return node

    return everywhere(tree, replaced)


def if_statement(tree: ast.Module, task: Task) -> ast.Module:
    """A conditional expression that is assigned as an `if`."""
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.IfExp() as choice):
                return ast.If(test=choice.test, body=[assign(name, choice.body)], orelse=[assign(name, choice.orelse)])
            case _:
                return node

    return everywhere(tree, replaced)


def match_statement(tree: ast.Module, task: Task) -> ast.Module:
    """`if a == 'text'` as `match a`."""
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.If(
                test=ast.Compare(left=subject, ops=[ast.Eq()], comparators=[ast.Constant(value=str()) as text])
            ):
                other = ast.match_case(pattern=ast.MatchAs(), body=node.orelse or [ast.Pass()])
                return ast.Match(
                    subject=subject,
                    cases=[ast.match_case(pattern=ast.MatchValue(value=text), body=node.body), other],
                )
            case _:
                return node

    return everywhere(tree, replaced)


def walrus(tree: ast.Module, task: Task) -> ast.Module:
    """`x = ...` before an `if` that looks at `x` first, as `(x := ...)` inside it."""
    del task

    def in_block(block: list[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in block:
            match found[-1:], statement:
                case [ast.Assign(targets=[ast.Name(id=name)], value=value)], ast.If() if _assigned_first(
                    statement, name, value
                ):
                    found[-1] = statement
                case _:
                    found.append(statement)
        return found

    for node in list(ast.walk(tree)):
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, in_block(cast("list[ast.stmt]", block)))
    return tree


def _assigned_first(statement: ast.If, name: str, value: ast.expr) -> bool:
    """Put the assignment in the place of the first name that the test reads, if it is this one."""
    parent, field, node = cast("ast.AST", statement), "test", statement.test
    while True:
        match node:
            case ast.Name(id=read) if read == name:
                setattr(parent, field, ast.NamedExpr(target=ast.Name(id=name, ctx=ast.Store()), value=value))
                return True
            case ast.Compare(left=inner):
                parent, field, node = node, "left", inner
            case ast.Subscript(value=inner):
                parent, field, node = node, "value", inner
            case _:
                return False
