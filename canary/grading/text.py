"""The answer is one of these texts, but for case, white space and punctuation."""

import re
import unicodedata
from typing import ClassVar

import msgspec

from gateway.contracts.evaluations import Grade

_PUNCTUATION = re.compile(r"[^\w\s]|_")
_SYMBOLS = "#%&@"
"""Punctuation to Unicode, and a part of names and quantities."""


class Text(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="text",
):
    """`{"kind": "text", "answers": ["New York"]}` takes `new  york.` as well."""

    kind: ClassVar[str] = "text"
    version: ClassVar[int] = 2

    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.answers or not all(normalise(answer) for answer in self.answers):
            raise ValueError("`answers` must hold at least one string, each with a letter, digit or symbol")

    def grade(self, answer: str) -> Grade:
        if normalise(answer) in {normalise(accepted) for accepted in self.answers}:
            return Grade(value=1.0, reason="equals an accepted answer, normalised")
        return Grade(value=0.0, reason="equals no accepted answer, normalised")

    def describe(self) -> str:
        return " or ".join(repr(answer) for answer in self.answers) + ", but for case, white space and punctuation"


def normalise(text: str) -> str:
    """Return the text in compatibility form and folded case, its punctuation as spaces, its runs of space as one.

    Symbols stay: `C`, `C++` and `C#` are three answers. So does what makes another number: `-5` is not `5`, `3.5` not
    `3 5`.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_PUNCTUATION.sub(_kept, folded).split())


def _kept(match: re.Match[str]) -> str:
    char = match.group()
    if char.isspace() or unicodedata.category(char)[0] != "P":
        return char
    start, end = match.span()
    before, after = match.string[max(0, start - 1) : start], match.string[end : end + 1]
    is_sign = char == "-" and after.isdigit() and not before.isalnum()
    is_point = char in ".,:/" and before.isdigit() and after.isdigit()
    is_symbol = char in _SYMBOLS and (before.isalnum() or after.isalnum())
    return char if is_sign or is_point or is_symbol else " "
