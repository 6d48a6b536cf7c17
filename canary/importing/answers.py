"""Make a grader of an expected answer, where the data has one and does not say how to compare it."""

import enum
import re
from collections.abc import Sequence

from canary.grading.exact import Exact
from canary.grading.numeric import Numeric
from canary.grading.regex import Regex, quote
from canary.grading.text import Text

_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?")


class AnswerRule(enum.StrEnum):
    AUTO = "auto"
    """A number is compared as the last number of the answer, anything else as `includes`."""
    EXACT = "exact"
    TEXT = "text"
    """But for case, white space and punctuation."""
    INCLUDES = "includes"
    """As whole words anywhere in the answer, whatever the case."""
    STARTS_WITH = "starts-with"
    """The answer begins with it, to the letter."""


def grader_for(answers: Sequence[str], rule: AnswerRule) -> Exact | Text | Numeric | Regex:
    """Return the grader that accepts any of the answers. Raises ValueError where there is none, or a blank one."""
    if not answers or any(not answer.strip() for answer in answers):
        raise ValueError("has no expected answer, or a blank one")
    match rule:
        case AnswerRule.EXACT:
            return Exact(answers=tuple(answers))
        case AnswerRule.TEXT:
            return Text(answers=tuple(answers))
        case AnswerRule.STARTS_WITH:
            return Regex(pattern=rf"^\s*(?:{'|'.join(quote(answer.strip()) for answer in answers)})")
        case AnswerRule.AUTO if len(answers) == 1 and _NUMBER.fullmatch(answers[0].strip()):
            return Numeric(value=float(answers[0]))
        case AnswerRule.AUTO | AnswerRule.INCLUDES:
            return Regex(pattern=f"(?i)(?:{'|'.join(_as_words(answer.strip()) for answer in answers)})")


def _as_words(answer: str) -> str:
    """Return a pattern for the answer that no longer word contains; the bounds of words are ASCII's, as in RE2."""
    start = r"\b" if _is_ascii_word(answer[0]) else ""
    end = r"\b" if _is_ascii_word(answer[-1]) else ""
    return f"{start}{quote(answer)}{end}"


def _is_ascii_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")
