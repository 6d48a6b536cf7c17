"""The answer needs no tool: it is words, and holds no program."""

import re
from typing import Annotated, ClassVar

import msgspec

from canary.grading.program import chosen_tools
from canary.grading.regex import search
from canary.programs.fences import fenced_blocks, without_thoughts
from canary.programs.stubs import render_stubs
from canary.programs.tools import Catalogue, Tool
from gateway.contracts.evaluations import Grade


class PlainAnswer(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="plain_answer"
):
    """`{"kind": "plain_answer", "tools": ["get_order"], "pattern": "(?i)not found"}`: the counterpart of `program`.

    For what the model knows by itself, for what no tool can do, and for what must be asked back.
    """

    kind: ClassVar[str] = "plain_answer"
    version: ClassVar[int] = 2

    tools: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Those that the prompt offers, none of which is to be called."""
    define: dict[str, Tool] = {}
    pattern: str
    """RE2; searched for in the answer."""

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ValueError("`pattern` must not be empty: it would match any answer")
        search(self.pattern, "")

    def ready(self, catalogue: Catalogue) -> "ReadyPlainAnswer":
        """Return the grader with its tools' definitions. Raises ValueError."""
        return ReadyPlainAnswer(tools=chosen_tools(self.tools, self.define, catalogue), pattern=self.pattern)


class ReadyPlainAnswer(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[str] = PlainAnswer.kind
    version: ClassVar[int] = PlainAnswer.version

    tools: Catalogue
    pattern: str

    def grade(self, answer: str) -> Grade:
        said = without_thoughts(answer)
        if fenced_blocks(said):
            return Grade(value=0.0, reason="holds a program where none is needed")
        called = next((name for name in self.tools if re.search(rf"\b{name}\s*\(", said)), None)
        if called is not None:
            return Grade(value=0.0, reason=f"calls {called} where no tool is needed")
        if not search(self.pattern, said):
            return Grade(value=0.0, reason="does not match the pattern")
        return Grade(value=1.0, reason="matches the pattern, without a program")

    def stubs(self) -> str:
        """Return the tools as the prompt shows them."""
        return render_stubs(self.tools)

    def describe(self) -> str:
        return f"no program, and a match of /{self.pattern}/"
