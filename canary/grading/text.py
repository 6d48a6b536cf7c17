"""The answer is one of these texts, but for case, white space and punctuation."""

import unicodedata
from typing import ClassVar

import msgspec

from gateway.contracts.evaluations import Grade


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
    version: ClassVar[int] = 1

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

    Symbols stay (`+`, `$`, `<` are no punctuation in Unicode): `C` and `C++` are two answers.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(" " if unicodedata.category(char)[0] == "P" else char for char in folded).split())
