"""A program's source made ready for Monty, and what its syntax tree tells about its names."""

import ast
import functools

import msgspec

RESULT = "result"
"""The variable in which a program leaves its answer; without it, its last expression is the answer."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    parses: bool
    """For the Python that runs canary; Monty may know a later grammar."""
    sets_result: bool
    called: frozenset[str]
    """Plain names that are called."""

    def text_for(self, *, wants_result: bool) -> str:
        return f"{self.text}\n{RESULT}\n" if wants_result and self.sets_result else self.text


_LAZY = frozenset({"map", "filter", "zip", "enumerate", "reversed"})


class _LazyIterables(ast.NodeTransformer):
    """Monty makes lists of what is lazy in Python, and `next()` refuses a list: `iter()` around it makes it one-way."""

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        self.generic_visit(node)
        return _one_way(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="next"), args=[ast.Call(func=ast.Name(id=name)) as first, *rest]) if (
                name in _LAZY
            ):
                node.args = [_one_way(first), *rest]
            case _:
                pass
        return node


def _one_way(node: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(id="iter", ctx=ast.Load()), args=[node], keywords=[])


@functools.lru_cache(maxsize=16)
def read_source(text: str) -> Source:
    """Parse, which runs nothing. What cannot be parsed is left as it is, for Monty to refuse or to run."""
    try:
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
        if any(
            isinstance(node, ast.GeneratorExp) or (isinstance(node, ast.Name) and node.id == "next") for node in nodes
        ):
            text = ast.unparse(_LazyIterables().visit(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Source(text=text, parses=False, sets_result=RESULT in text, called=frozenset())
    return Source(
        text=text,
        parses=True,
        sets_result=any(
            isinstance(node, ast.Name) and node.id == RESULT and isinstance(node.ctx, ast.Store) for node in nodes
        ),
        called=frozenset(
            node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ),
    )
