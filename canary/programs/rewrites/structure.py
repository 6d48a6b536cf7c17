"""The same steps in another order, in more of them, or in a function."""

import ast
from collections.abc import Sequence
from typing import Any, cast

from canary.programs.reference import Task
from canary.programs.rewrites.trees import assign, call_of, everywhere, in_blocks, name_of
from canary.programs.source import RESULT


def temporaries(tree: ast.Module, task: Task) -> ast.Module:
    """The arguments of a tool's call in variables of their own."""
    count = 0

    def hoisted(statement: ast.stmt) -> list[ast.stmt]:
        nonlocal count
        if not isinstance(statement, ast.Expr | ast.Assign):
            return [statement]
        before: list[ast.stmt] = []
        match statement.value:
            case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in task.tools:
                for keyword in keywords:
                    count += 1
                    before.append(assign(f"value{count}", keyword.value))
                    keyword.value = name_of(f"value{count}")
            case _:
                pass
        return [*before, statement]

    return in_blocks(tree, hoisted)


def field_by_field(tree: ast.Module, task: Task) -> ast.Module:
    """`result = a['b']['c']` in steps."""
    del task
    count = 0

    def stepped(statement: ast.stmt) -> list[ast.stmt]:
        nonlocal count
        steps: list[ast.stmt] = []
        while isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Subscript):
            inner = statement.value.value
            if isinstance(inner, ast.Name):
                break
            count += 1
            steps.insert(0, assign(f"step{count}", inner))
            statement.value.value = name_of(f"step{count}")
            if not isinstance(inner, ast.Subscript):
                break
            return [*stepped(steps[0]), statement]
        return [*steps, statement]

    return in_blocks(tree, stepped)


def reordered_reads(tree: ast.Module, task: Task) -> ast.Module:
    """Two neighbouring assignments from tools that only read, where neither uses the other's."""

    def reads(statement: ast.stmt) -> str | None:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)]) if not any(
                task.tools[node.id].effect
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and node.id in task.tools
            ):
                return target
            case _:
                return None

    def uses(statement: ast.stmt, name: str) -> bool:
        return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(statement))

    for place in range(len(tree.body) - 1):
        one, other = tree.body[place : place + 2]
        first, second = reads(one), reads(other)
        if first and second and not uses(other, first) and not uses(one, second):
            tree.body[place : place + 2] = [other, one]
            break
    return tree


def repeated_reads(tree: ast.Module, task: Task) -> ast.Module:
    """Calls what a variable was read by again wherever the variable is used."""
    reading = {
        target: value
        for statement in tree.body
        for target, value in [_plain_read(statement, task)]
        if target is not None and _stores(tree, target) == 1
    }

    def replaced(node: Any) -> Any:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in reading:
            return reading[node.id]
        return node

    return everywhere(tree, replaced)


def _plain_read(statement: ast.stmt, task: Task) -> tuple[str | None, ast.expr]:
    """Return the variable and the call of `x = tool(argument='constant')` for a tool that only reads."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=target)], value=ast.Call(func=ast.Name(id=name), keywords=keywords)) if (
            name in task.tools
            and not task.tools[name].effect
            and all(isinstance(keyword.value, ast.Constant) for keyword in keywords)
        ):
            return target, statement.value
        case _:
            return None, ast.Constant(None)


def _stores(tree: ast.Module, name: str) -> int:
    return sum(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store) for node in ast.walk(tree)
    )


def main_function(tree: ast.Module, task: Task) -> ast.Module:
    """Everything in a function that is called, with `return` for the result."""
    body = [*tree.body, *([ast.Return(value=name_of(RESULT))] if task.wants_result else [])]
    return ast.Module(body=[_function("main", body), *_calling("main", task)], type_ignores=[])


def early_return(tree: ast.Module, task: Task) -> ast.Module | None:
    """As `main_function`, with each branch returning what it finds."""
    if not task.wants_result or not _ends_in_result(tree.body):
        return None
    return ast.Module(body=[_function("solve", _returning(tree.body)), *_calling("solve", task)], type_ignores=[])


def _ends_in_result(body: Sequence[ast.stmt]) -> bool:
    match body[-1]:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name == RESULT
        case ast.If(body=yes, orelse=no):
            return bool(no) and _ends_in_result(yes) and _ends_in_result(no)
        case _:
            return False


def _returning(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    match body[-1]:
        case ast.If(test=test, body=yes, orelse=no):
            return [*body[:-1], ast.If(test=test, body=_returning(yes), orelse=[]), *_returning(no)]
        case last:
            return [*body[:-1], ast.Return(value=cast("ast.Assign", last).value)]


def _function(name: str, body: list[ast.stmt]) -> ast.FunctionDef:
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.FunctionDef(name=name, args=nothing, body=body, decorator_list=[], lineno=1)


def _calling(name: str, task: Task) -> list[ast.stmt]:
    return [assign(RESULT, call_of(name)) if task.wants_result else ast.Expr(value=call_of(name))]


def last_expression(tree: ast.Module, task: Task) -> ast.Module | None:
    """The result as the last expression, without the variable."""
    match tree.body[-1]:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
            task.wants_result and name == RESULT and _stores(tree, RESULT) == 1
        ):
            return ast.Module(body=[*tree.body[:-1], ast.Expr(value=value)], type_ignores=[])
        case _:
            return None


def tuple_for_list(tree: ast.Module, task: Task) -> ast.Module:
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=elements)) if name == RESULT:
                return assign(RESULT, ast.Tuple(elts=elements, ctx=ast.Load()))
            case _:
                return node

    return everywhere(tree, replaced)


def printed(tree: ast.Module, task: Task) -> ast.Module:
    """Prints at the end."""
    del task
    return ast.Module(body=[*tree.body, ast.Expr(value=call_of("print", ast.Constant("done")))], type_ignores=[])


def guarded(tree: ast.Module, task: Task) -> ast.Module:
    """Everything in a `try` that raises again."""
    del task
    handler = ast.ExceptHandler(type=name_of("KeyError"), name=None, body=[ast.Raise()])
    return ast.Module(body=[ast.Try(body=tree.body, handlers=[handler], orelse=[], finalbody=[])], type_ignores=[])


def helper_functions(tree: ast.Module, task: Task) -> ast.Module:
    """Each value that is assigned to a plain variable in a function of its own, which is called at once."""
    del task
    count = 0

    def helped(statement: ast.stmt) -> list[ast.stmt]:
        nonlocal count
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() | ast.Subscript() as value):
                count += 1
                return [_function(f"find{count}", [ast.Return(value=value)]), assign(name, call_of(f"find{count}"))]
            case _:
                return [statement]

    return in_blocks(tree, helped)


def lambda_helper(tree: ast.Module, task: Task) -> ast.Module:
    """Each call of a tool that only reads through a `lambda`."""

    def replaced(node: Any) -> Any:
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in task.tools and not task.tools[name].effect:
                nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
                return ast.Call(func=ast.Lambda(args=nothing, body=node), args=[], keywords=[])
            case _:
                return node

    return everywhere(tree, replaced)


def deleted_variables(tree: ast.Module, task: Task) -> ast.Module:
    """`del` at the end for what the first statement assigns."""
    del task
    match tree.body[0]:
        case ast.Assign(targets=[ast.Name(id=name)]) if name != RESULT:
            gone = ast.Delete(targets=[name_of(name, ast.Del())])
            return ast.Module(body=[*tree.body, gone], type_ignores=[])
        case _:
            return tree
