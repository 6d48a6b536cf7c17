"""What an importer is given and what it returns."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from canary.errors import SuiteError
from canary.grading import Expectation
from canary.importing.answers import AnswerRule
from canary.suite.case import CaseLine
from gateway.contracts.chat import ChatMessage


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    answers: Path | None = None
    """BFCL's file of possible answers."""
    rule: AnswerRule | None = None
    """How an answer is compared where the format leaves it open; None takes the format's own habit."""
    ignore: frozenset[str] = frozenset()
    """Fields or columns that the importer does not know and may leave out."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    cases: Sequence[CaseLine]
    notes: Sequence[str] = ()
    """Sentences on what was left out or decided, for NOTES.md."""
    system: str | None = None


def imported_case(
    case_id: str,
    messages: Sequence[ChatMessage],
    grader: Expectation,
    *,
    category: str = "imported",
    family: str | None = None,
    tags: Sequence[str] = (),
) -> CaseLine:
    """Return the case, with a plain `prompt` where it is one message of the user's."""
    plain = len(messages) == 1 and messages[0].role == "user" and messages[0].name is None
    return CaseLine(
        id=case_id,
        category=category,
        family=family,
        origin="imported",
        tags=tuple(tags),
        prompt=messages[0].text if plain else None,
        messages=None if plain else tuple(messages),
        grader=grader,
    )


def refusal(path: Path, line: int | None, complaint: object) -> SuiteError:
    return SuiteError(f"{path}: {complaint}" if line is None else f"{path}, line {line}: {complaint}")
