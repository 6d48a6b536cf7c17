"""The same names, fields, texts and updates, written otherwise."""

import ast
from typing import Any, cast

from canary.programs.reference import Task
from canary.programs.rewrites.trees import assign, call_of, everywhere, name_of
from canary.programs.source import RESULT


def renamed_variables(tree: ast.Module, task: Task) -> ast.Module:
    del task
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names = {name: f"the_{name}" for name in stored | arguments if name != RESULT}

    def renamed(node: Any) -> Any:
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = names.get(node.arg, node.arg)
        return node

    return everywhere(tree, renamed)


def get_method(tree: ast.Module, task: Task) -> ast.Module:
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.Subscript(slice=ast.Constant(value=str()) as key, ctx=ast.Load()):
                return ast.Call(
                    func=ast.Attribute(value=node.value, attr="get", ctx=ast.Load()), args=[key], keywords=[]
                )
            case _:
                return node

    return everywhere(tree, replaced)


def positional_arguments(tree: ast.Module, task: Task) -> ast.Module:
    def replaced(node: Any) -> Any:
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in task.tools and keywords:
                order = list(task.tools[name].arguments)
                values = {keyword.arg: keyword.value for keyword in keywords}
                if order[: len(values)] == [argument for argument in order if argument in values]:
                    return call_of(name, *(values[argument] for argument in order if argument in values))
                return node
            case _:
                return node

    return everywhere(tree, replaced)


def concatenation(tree: ast.Module, task: Task) -> ast.Module:
    """f-strings as sums of strings."""
    del task

    def replaced(node: Any) -> Any:
        if not isinstance(node, ast.JoinedStr):
            return node
        parts = [call_of("str", part.value) if isinstance(part, ast.FormattedValue) else part for part in node.values]
        total: ast.expr = parts[0]
        for part in parts[1:]:
            total = ast.BinOp(left=total, op=ast.Add(), right=part)
        return total

    return everywhere(tree, replaced)


def format_method(tree: ast.Module, task: Task) -> ast.Module:
    """f-strings as `'{}'.format()`."""
    del task

    def replaced(node: Any) -> Any:
        if not isinstance(node, ast.JoinedStr):
            return node
        values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        method = ast.Attribute(value=ast.Constant(text), attr="format", ctx=ast.Load())
        return ast.Call(func=method, args=values, keywords=[])

    return everywhere(tree, replaced)


def expanded_update(tree: ast.Module, task: Task) -> ast.Module:
    """`x += y` as `x = x + y`."""
    del task

    def replaced(node: Any) -> Any:
        match node:
            case ast.AugAssign(target=ast.Name(id=name)):
                return assign(name, ast.BinOp(left=name_of(name), op=node.op, right=node.value))
            case _:
                return node

    return everywhere(tree, replaced)


def comments_and_hints(tree: ast.Module, task: Task) -> str:
    del task

    def hinted(node: Any) -> Any:
        match node:
            case ast.Assign(targets=[ast.Name() as target]) if target.id != RESULT:
                return ast.AnnAssign(target=target, annotation=name_of("object"), value=node.value, simple=1)
            case _:
                return node

    seen: set[str] = set()

    def hinted_once(node: Any) -> Any:
        new = hinted(node)
        if isinstance(new, ast.AnnAssign):
            name = cast("ast.Name", new.target).id
            if name in seen:
                return node
            seen.add(name)
        return new

    source = ast.unparse(ast.fix_missing_locations(everywhere(tree, hinted_once)))
    return "# What follows was asked for.\n\n" + source.replace("\n", "\n\n") + "\n# Done.\n"


def arguments_by_star(tree: ast.Module, task: Task) -> ast.Module:
    """A tool's arguments as `**{...}`."""

    def replaced(node: Any) -> Any:
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in task.tools and keywords:
                table = ast.Dict(
                    keys=[ast.Constant(keyword.arg) for keyword in keywords],
                    values=[keyword.value for keyword in keywords],
                )
                return ast.Call(func=node.func, args=node.args, keywords=[ast.keyword(arg=None, value=table)])
            case _:
                return node

    return everywhere(tree, replaced)


def percent_format(tree: ast.Module, task: Task) -> ast.Module:
    """f-strings as `'%s' % (...)`."""
    del task

    def replaced(node: Any) -> Any:
        if not isinstance(node, ast.JoinedStr):
            return node
        values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        texts = [str(part.value).replace("%", "%%") if isinstance(part, ast.Constant) else "%s" for part in node.values]
        right = ast.Tuple(elts=values, ctx=ast.Load())
        return ast.BinOp(left=ast.Constant("".join(texts)), op=ast.Mod(), right=right)

    return everywhere(tree, replaced)


def joined_text(tree: ast.Module, task: Task) -> ast.Module:
    """f-strings as `''.join([...])`."""
    del task

    def replaced(node: Any) -> Any:
        if not isinstance(node, ast.JoinedStr):
            return node
        parts = [call_of("str", part.value) if isinstance(part, ast.FormattedValue) else part for part in node.values]
        join = ast.Attribute(value=ast.Constant(""), attr="join", ctx=ast.Load())
        return ast.Call(func=join, args=[ast.List(elts=parts, ctx=ast.Load())], keywords=[])

    return everywhere(tree, replaced)
