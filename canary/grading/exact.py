"""The answer is one of these strings, to the letter."""

from typing import ClassVar

import msgspec

from gateway.contracts.evaluations import Grade


class Exact(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="exact",
):
    """`{"kind": "exact", "answers": ["Paris"]}`: white space around the answer does not count, all else does."""

    kind: ClassVar[str] = "exact"
    version: ClassVar[int] = 1

    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.answers or any(not answer.strip() for answer in self.answers):
            raise ValueError("`answers` must hold at least one string that is not blank, and no blank one")

    def grade(self, answer: str) -> Grade:
        if answer.strip() in {accepted.strip() for accepted in self.answers}:
            return Grade(value=1.0, reason="equals an accepted answer")
        return Grade(value=0.0, reason="equals no accepted answer")

    def describe(self) -> str:
        return "exactly " + " or ".join(repr(answer) for answer in self.answers)
