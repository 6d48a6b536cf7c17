"""The same loops, written otherwise."""

import ast
from typing import Any

from canary.programs.reference import Task
from canary.programs.rewrites.trees import Everywhere, assign, call_of, everywhere, for_loop, in_blocks, name_of


def loop_for_comprehension(tree: ast.Module, task: Task) -> ast.Module:
    """A comprehension as a loop that appends, before the statement that uses it."""
    del task
    count = 0

    def hoisted(statement: ast.stmt) -> list[ast.stmt]:
        nonlocal count
        if isinstance(statement, ast.While | ast.For | ast.FunctionDef):
            return [statement]
        before: list[ast.stmt] = []

        def replaced(node: Any) -> Any:
            nonlocal count
            if not isinstance(node, ast.ListComp | ast.GeneratorExp) or len(node.generators) != 1:
                return node
            count += 1
            name, generator = f"collected{count}", node.generators[0]
            append = ast.Call(
                func=ast.Attribute(value=name_of(name), attr="append", ctx=ast.Load()), args=[node.elt], keywords=[]
            )
            body: list[ast.stmt] = [ast.Expr(value=append)]
            for condition in reversed(generator.ifs):
                body = [ast.If(test=condition, body=body, orelse=[])]
            before.extend(
                [assign(name, ast.List(elts=[], ctx=ast.Load())), for_loop(generator.target, generator.iter, body)]
            )
            return name_of(name)

        if isinstance(statement, ast.If):
            statement.test = Everywhere(replaced).visit(statement.test)
        else:
            statement = Everywhere(replaced).visit(statement)
        return [*before, statement]

    return in_blocks(tree, hoisted)


def comprehension_for_loop(tree: ast.Module, task: Task) -> ast.Module:
    """A loop that only counts, adds up or appends as a comprehension."""
    del task

    def replaced(statement: ast.stmt) -> list[ast.stmt]:
        if not isinstance(statement, ast.For):
            return [statement]
        conditions: list[ast.expr] = []
        body = statement.body
        while len(body) == 1 and isinstance(body[0], ast.If) and not body[0].orelse:
            conditions.append(body[0].test)
            body = body[0].body
        generator = ast.comprehension(target=statement.target, iter=statement.iter, ifs=conditions, is_async=0)
        match body:
            case [ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value)]:
                total = call_of("sum", ast.GeneratorExp(elt=value, generators=[generator]))
                return [assign(name, ast.BinOp(left=name_of(name), op=ast.Add(), right=total))]
            case [
                ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]))
            ] if name not in {
                node.id for condition in conditions for node in ast.walk(condition) if isinstance(node, ast.Name)
            }:
                collected = ast.ListComp(elt=value, generators=[generator])
                return [assign(name, ast.BinOp(left=name_of(name), op=ast.Add(), right=collected))]
            case _:
                return [statement]

    return in_blocks(tree, replaced)


def loop_by_index(tree: ast.Module, task: Task) -> ast.Module:
    del task
    count = 0

    def replaced(statement: ast.stmt) -> list[ast.stmt]:
        nonlocal count
        if not isinstance(statement, ast.For):
            return [statement]
        count += 1
        items, place = f"items{count}", f"place{count}"
        element = ast.Subscript(value=name_of(items), slice=name_of(place), ctx=ast.Load())
        body = [ast.Assign(targets=[statement.target], value=element, lineno=1), *statement.body]
        return [
            assign(items, call_of("list", statement.iter)),
            for_loop(name_of(place, ast.Store()), call_of("range", call_of("len", name_of(items))), body),
        ]

    return in_blocks(tree, replaced)


def loop_by_enumerate(tree: ast.Module, task: Task) -> ast.Module:
    del task

    def replaced(node: Any) -> Any:
        if isinstance(node, ast.For):
            pair = ast.Tuple(elts=[name_of("_place", ast.Store()), node.target], ctx=ast.Store())
            return for_loop(pair, call_of("enumerate", node.iter), node.body)
        return node

    return everywhere(tree, replaced)


def endless_loop_with_break(tree: ast.Module, task: Task) -> ast.Module:
    del task

    def replaced(node: Any) -> Any:
        if isinstance(node, ast.While):
            leave = ast.If(test=ast.UnaryOp(op=ast.Not(), operand=node.test), body=[ast.Break()], orelse=[])
            return ast.While(test=ast.Constant(value=True), body=[leave, *node.body], orelse=[])
        return node

    return everywhere(tree, replaced)


def while_by_index(tree: ast.Module, task: Task) -> ast.Module:
    """A `for` as a `while` over positions, which moves on before the body, so that `continue` may stand in it."""
    del task
    count = 0

    def replaced(statement: ast.stmt) -> list[ast.stmt]:
        nonlocal count
        if not isinstance(statement, ast.For):
            return [statement]
        count += 1
        items, place = f"items{count}", f"place{count}"
        element = ast.Subscript(value=name_of(items), slice=name_of(place), ctx=ast.Load())
        within = ast.Compare(left=name_of(place), ops=[ast.Lt()], comparators=[call_of("len", name_of(items))])
        step = ast.AugAssign(target=name_of(place, ast.Store()), op=ast.Add(), value=ast.Constant(1))
        taken = ast.Assign(targets=[statement.target], value=element, lineno=1)
        return [
            assign(items, call_of("list", statement.iter)),
            assign(place, ast.Constant(0)),
            ast.While(test=within, body=[taken, step, *statement.body], orelse=statement.orelse),
        ]

    return in_blocks(tree, replaced)
