"""Replace parts of a syntax tree everywhere, and make the nodes that rewrites are put together from."""

import ast
from collections.abc import Callable
from typing import Any, cast


class Everywhere(ast.NodeTransformer):
    """Puts what a function returns in the place of every expression or statement, innermost first."""

    def __init__(self, replace: Callable[[ast.AST], Any]) -> None:
        self._replace = replace

    def visit(self, node: ast.AST) -> Any:
        return self._replace(self.generic_visit(node))


def everywhere(tree: ast.Module, replace: Callable[[Any], Any]) -> ast.Module:
    return cast("ast.Module", Everywhere(replace).visit(tree))


def in_blocks(tree: ast.Module, rewrite: Callable[[ast.stmt], list[ast.stmt]]) -> ast.Module:
    """Replace every statement by statements, innermost first."""

    def replaced(node: ast.AST) -> Any:
        return rewrite(node) if isinstance(node, ast.stmt) else node

    return everywhere(tree, replaced)


def name_of(identifier: str, ctx: ast.expr_context | None = None) -> ast.Name:
    return ast.Name(id=identifier, ctx=ctx or ast.Load())


def assign(identifier: str, value: ast.expr) -> ast.Assign:
    return ast.Assign(targets=[name_of(identifier, ast.Store())], value=value, lineno=1)


def call_of(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(func=name_of(function), args=list(arguments), keywords=[])


def for_loop(target: ast.expr, iterable: ast.expr, body: list[ast.stmt]) -> ast.For:
    return ast.For(target=target, iter=iterable, body=body, orelse=[], lineno=1)
