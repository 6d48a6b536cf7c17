"""What programs say in Python that Monty lacks, said in its subset: the same program to whoever reads what it does."""

import ast
from collections.abc import Sequence
from typing import Any

_TYPED_DICT = "TypedDict"
_METHOD = type(str.upper)
_TAKE_FUNCTIONS = frozenset({"map", "filter", "reduce", "partial"})
_METHODS_OF = {
    kind.__name__: frozenset(
        name for name, member in vars(kind).items() if not name.startswith("_") and type(member) is _METHOD
    )
    for kind in (str, list, dict, set)
}
"""Those that are called on a value; not `dict.fromkeys`, which is the type's own."""
_METHODS = frozenset[str]().union(*_METHODS_OF.values())
_LAZY = frozenset({"map", "filter", "zip", "enumerate", "reversed"})


class ForMonty(ast.NodeTransformer):
    """Says in Monty's subset what it lacks and programs of this kind use, so that fewer of them remain ungraded.

    Monty makes lists of what is lazy in Python, and `next()` refuses a list: `iter()` around it makes it one-way. It
    has no `del`, no `TypedDict`, which the prompt's stubs are written with, and no methods that are not called at once.
    """

    def __init__(self, nodes: Sequence[ast.AST]) -> None:
        self._has_classes = any(isinstance(node, ast.ClassDef) for node in nodes)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        self.generic_visit(node)
        return _one_way(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        for keyword in node.keywords:
            if keyword.arg == "key":
                keyword.value = self._callable(keyword.value)
        match node:
            case ast.Call(func=ast.Name(id=name), args=[function, *_]) if name in _TAKE_FUNCTIONS:
                node.args[0] = self._callable(function)
            case ast.Call(func=ast.Name(id="next"), args=[ast.Call(func=ast.Name(id=name)) as first, *rest]) if (
                name in _LAZY
            ):
                node.args = [_one_way(first), *rest]
            case _:
                pass
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`str.upper` is `lambda it, *rest: it.upper(*rest)`."""
        self.generic_visit(node)
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr in _METHODS_OF.get(name, ()):
                return ast.parse(f"lambda it, *rest: it.{attr}(*rest)", mode="eval").body
            case _:
                return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        node.value = self._callable(node.value)
        return node

    def _callable(self, node: ast.expr) -> ast.expr:
        """Where a function is meant `d.get` is `lambda *given: d.get(*given)`; classes may have such fields."""
        if self._has_classes or not isinstance(node, ast.Attribute) or node.attr not in _METHODS:
            return node
        given = ast.Starred(value=ast.Name(id="given", ctx=ast.Load()), ctx=ast.Load())
        takes = ast.arguments(
            posonlyargs=[], args=[], vararg=ast.arg(arg="given"), kwonlyargs=[], kw_defaults=[], defaults=[]
        )
        return ast.Lambda(args=takes, body=ast.Call(func=node, args=[given], keywords=[]))

    def visit_Delete(self, node: ast.Delete) -> Any:
        """`del a[k]` is `a.pop(k)`, `del a[i:j]` is `a[i:j] = []`, and `del a` leaves None: nobody reads it again."""
        self.generic_visit(node)
        replaced = [_deleted(target) for target in node.targets]
        return node if None in replaced else replaced

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module == "typing":
            node.names = [name for name in node.names if name.name != _TYPED_DICT]
        return node if node.names else ast.Pass()

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.bases = [base for base in node.bases if not (isinstance(base, ast.Name) and base.id == _TYPED_DICT)]
        return node


def _deleted(target: ast.expr) -> ast.stmt | None:
    match target:
        case ast.Name(id=name):
            return ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=ast.Constant(None), lineno=0)
        case ast.Subscript(value=value, slice=ast.Slice(step=None) as part):
            place = ast.Subscript(value=value, slice=part, ctx=ast.Store())
            return ast.Assign(targets=[place], value=ast.List(elts=[], ctx=ast.Load()), lineno=0)
        case ast.Subscript(value=value, slice=key) if not isinstance(key, ast.Slice):
            pop = ast.Attribute(value=value, attr="pop", ctx=ast.Load())
            return ast.Expr(value=ast.Call(func=pop, args=[key], keywords=[]))
        case _:
            return None


def _one_way(node: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(id="iter", ctx=ast.Load()), args=[node], keywords=[])


def needs_change(nodes: Sequence[ast.AST]) -> bool:
    """Return whether any of a program's nodes is of a kind that `ForMonty` changes."""
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return any(_is_lacking(node, called=id(node) in called) for node in nodes)


def _is_lacking(node: ast.AST, *, called: bool) -> bool:
    match node:
        case ast.Name(id=name):
            return name in {"next", _TYPED_DICT}
        case ast.alias(name=name):
            return name == _TYPED_DICT
        case ast.Attribute(value=ast.Name(id=name)) if name in _METHODS_OF:
            return True
        case ast.Attribute(attr=attr):
            return attr in _METHODS and not called
        case _:
            return isinstance(node, ast.GeneratorExp | ast.Delete)
