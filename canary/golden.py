"""Golden answers: what a suite's cases accept, as a model would have to write it, and where in it the decisions lie."""

import builtins
import keyword
import re
from typing import Literal

import msgspec

from canary.grading.exact import Exact
from canary.grading.numeric import Numeric
from canary.grading.program import ReadyProgram
from canary.grading.text import Text
from canary.judge import case_order
from canary.suite import Case, Suite
from gateway.contracts.builds import TrainingExample, TrainingMessage
from gateway.contracts.chat import ChatMessage
from gateway.contracts.suites import FidelityProtocol

_WORD = re.compile(r"[^\W\d]\w*")
_DECISIVE = re.compile(r"[^\W\d]\w*|\d+(?:\.\d+)?|[<>=!]=|[<>]")
_NO_DECISION = frozenset({*keyword.kwlist, *dir(builtins), "result", "python"})
"""Words that every program has, whatever was asked."""


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """One case's prompt, and an answer that is right."""

    case_id: str
    family: str
    messages: tuple[ChatMessage, ...]
    answer: str

    def decisive_spans(self) -> list[tuple[int, int]]:
        """Return where in the answer a name that the prompt gives, a number or a comparison stands."""
        given = set(_WORD.findall(" ".join(message.text for message in self.messages))) - _NO_DECISION
        return [
            match.span()
            for match in _DECISIVE.finditer(self.answer)
            if not _WORD.fullmatch(match[0]) or match[0] in given
        ]

    def example(self) -> TrainingExample:
        """Return the same as something to train on."""
        messages = tuple(TrainingMessage(role=_ROLES[message.role], content=message.text) for message in self.messages)
        return TrainingExample(messages=messages, answer=self.answer)


_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


LEAST_ANSWERS = 8
"""Fewer show nothing."""


def planned_goldens(suite: Suite) -> tuple[Golden, ...]:
    """Return the answers that fidelity is measured on before a run, none where it is not to be."""
    protocol = suite.manifest.protocol.fidelity
    if protocol is None and suite.manifest.profile == "seed":
        return ()
    goldens = golden_answers(suite, most=(protocol or FidelityProtocol()).answers)
    return goldens if len(goldens) >= LEAST_ANSWERS else ()


def golden_answers(suite: Suite, *, most: int) -> tuple[Golden, ...]:
    """Return golden answers of the first cases whose grader says one, in the order of a run by the suite's seed."""
    cases = {case.id: case for case in suite.cases}
    order = case_order([case.reference() for case in suite.cases], suite.manifest.seed)
    found = [golden for case in order if (golden := _golden(cases[case.id])) is not None]
    return tuple(found[:most])


def _golden(case: Case) -> Golden | None:
    answer = _answer(case)
    if answer is None or any(message.role not in _ROLES for message in case.messages):
        return None
    return Golden(case_id=case.id, family=case.family, messages=case.messages, answer=answer)


def _answer(case: Case) -> str | None:
    match case.grader:
        case ReadyProgram(task=task):
            return f"```python\n{task.oracle.strip()}\n```"
        case Exact(answers=answers) | Text(answers=answers):
            return answers[0]
        case Numeric(value=value):
            return f"{value:g}"
        case _:
            return None
