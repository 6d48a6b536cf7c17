"""A program's source made ready for Monty, and what its syntax tree tells about its names."""

import ast
import functools

import msgspec

from canary.programs.dialect import ForMonty, needs_change

RESULT = "result"
"""The variable in which a program leaves its answer; without it, its last expression is the answer."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    parses: bool
    """For the Python that runs canary; Monty may know a later grammar."""
    sets_result: bool
    called: frozenset[str]
    """Plain names that are called."""
    called_methods: frozenset[str]
    """Names after a dot that are called."""

    def text_for(self, *, wants_result: bool) -> str:
        return f"{self.text}\n{RESULT}\n" if wants_result and self.sets_result else self.text


@functools.lru_cache(maxsize=16)
def read_source(text: str) -> Source:
    """Parse, which runs nothing. What cannot be parsed is left as it is, for Monty to refuse or to run."""
    try:
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
        if needs_change(nodes):
            text = ast.unparse(ForMonty(nodes).visit(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Source(
            text=text, parses=False, sets_result=RESULT in text, called=frozenset(), called_methods=frozenset()
        )
    return Source(
        text=text,
        parses=True,
        sets_result=any(
            isinstance(node, ast.Name) and node.id == RESULT and isinstance(node.ctx, ast.Store) for node in nodes
        ),
        called=frozenset(
            node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ),
        called_methods=frozenset(
            node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ),
    )
