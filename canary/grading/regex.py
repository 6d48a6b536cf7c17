"""The answer contains a match of a pattern."""

from typing import ClassVar

import msgspec

# re2 takes time linear in the answer, whatever the pattern: a suite cannot hang a run. It ships no types; this file is
# the only one that imports it.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
import re2

from gateway.contracts.evaluations import Grade


class Regex(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="regex",
):
    """`{"kind": "regex", "pattern": "(?i)paris|lutetia"}`: searched for, in RE2's syntax, which has no look-around."""

    kind: ClassVar[str] = "regex"
    version: ClassVar[int] = 1

    pattern: str

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ValueError("`pattern` must not be empty: it would match any answer")
        search(self.pattern, "")

    def grade(self, answer: str) -> Grade:
        if search(self.pattern, answer):
            return Grade(value=1.0, reason="matches the pattern")
        return Grade(value=0.0, reason="does not match the pattern")

    def describe(self) -> str:
        return f"a match of /{self.pattern}/"


def quote(text: str) -> str:
    """Return a pattern that matches the text and nothing else."""
    quoted: str = re2.escape(text)
    return quoted


def search(pattern: str, answer: str) -> bool:
    """Return whether the pattern occurs; re2 keeps what it compiled. Raises ValueError where it is no RE2 pattern."""
    options = re2.Options()
    options.log_errors = False
    text = answer.encode(errors="replace").decode()  # without lone surrogates, which are in no UTF-8
    try:
        return re2.search(pattern, text, options) is not None
    except re2.error as error:
        complaint = error.args[0].decode(errors="replace")  # bytes, as the C++ library wrote them
        raise ValueError(f"`pattern` is invalid or not supported by RE2: {complaint}") from error
