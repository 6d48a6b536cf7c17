"""What a grader may know beside the answer: where its suite lies, its tools, and which case it judges."""

from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from canary.programs.tools import Catalogue
from gateway.contracts.evaluations import Grade, Ungraded


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    directory: Path
    """The suite's."""
    tools: Catalogue
    """The suite's `tools.toml`, empty where it has none."""
    case_id: str
    place: str
    """Where the case is written: file and line, for complaints about what the suite brings."""
    prompt: str
    """The last user message."""


class Grader(Protocol):
    """Judges the text of one completion."""

    kind: ClassVar[str]
    version: ClassVar[int]

    def grade(self, answer: str) -> Grade | Ungraded:
        """Return a value in [0, 1] with a reason, or decline with a reason. Never raises for an answer."""
        ...

    def describe(self) -> str:
        """Return the expectation in words, for a reader of the record."""
        ...
