"""Import files of the Berkeley Function Calling Leaderboard (github.com/ShishirPatil/gorilla, `bfcl_eval/data`).

A line of the questions is `{"id", "question": [[messages]], "function": [...]}`; the accepted arguments stand under the
same id in the directory `possible_answer`, given with `--answers`. The category is the start of the id (`live_simple`
of `live_simple_3-2-1`). Supported are single-turn Python categories: simple, multiple, parallel, parallel_multiple,
irrelevance (no call is right) and relevance (any call is). Refused by name are several turns, Java, JavaScript, and
whatever runs against BFCL's own services (memory, web search).
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from canary.grading.json_text import as_array, as_object
from canary.grading.tool_calls import ExpectedCall, ToolCalls
from canary.importing.imported import Imported, ImportOptions, imported_case, refusal
from canary.importing.records import as_record, read_json_lines
from canary.suite.case import CaseLine
from gateway.contracts.chat import ChatMessage

_ID = re.compile(r"(?P<category>[a-z_]+?)_\d[\d-]*")
_UNSUPPORTED = ("java", "javascript", "multi_turn", "memory", "web_search", "format_sensitivity", "exec", "rest", "sql")
_MAX_ALTERNATIVES = 256
"""Ways to write one argument, after the alternatives of a nested value are multiplied out."""
_OPTIONAL = ""
"""Among the acceptable values: the argument, or the key, may be left out, or be this empty string."""
_INSTRUCTION = (
    "You can call the functions below. Answer with a JSON array of the calls to make, each of the form "
    '{"name": "...", "arguments": {...}}, and with nothing else. If no function helps, or an argument is missing, say '
    "so in words and call none.\n\nFunctions:\n"
)

Accepted = dict[str, tuple[Any, ...]]


class _Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    question: tuple[tuple[ChatMessage, ...], ...]
    function: tuple[dict[str, Any], ...]


class _Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    ground_truth: tuple[dict[str, dict[str, tuple[Any, ...]]], ...]


def import_bfcl(path: Path, options: ImportOptions) -> Imported:
    """Raises SuiteError with the line."""
    answers = _read_answers(options)
    cases: list[CaseLine] = []
    for line, value in read_json_lines(path):
        question = as_record(value, _Question, path=path, line=line, options=options)
        try:
            cases.append(_case(question, answers))
        except ValueError as error:
            raise refusal(path, line, error) from error
    return Imported(cases=cases, notes=("The functions stand in the system message, as JSON.",))


def _read_answers(options: ImportOptions) -> dict[str, ToolCalls]:
    if options.answers is None:
        return {}
    found: dict[str, ToolCalls] = {}
    for line, value in read_json_lines(options.answers):
        answer = as_record(value, _Answer, path=options.answers, line=line, options=ImportOptions())
        try:
            found[answer.id] = ToolCalls(calls=tuple(_expected(call) for call in answer.ground_truth))
        except ValueError as error:
            raise refusal(options.answers, line, error) from error
    return found


def _case(question: _Question, answers: dict[str, ToolCalls]) -> CaseLine:
    matched = _ID.fullmatch(question.id)
    if matched is None:
        raise ValueError(f"the id {question.id!r} does not name its category and number")
    category = matched["category"]
    for name in _UNSUPPORTED:
        if f"_{name}_" in f"_{category}_":
            raise ValueError(f"not supported: the category {category!r} ({name})")
    if len(question.question) != 1 or not question.question[0] or question.question[0][-1].role != "user":
        raise ValueError("not supported: more turns than one, or a last message that is not the user's")
    grader = _grader(question.id, category, answers)
    return imported_case(question.id, _messages(question), grader, category=category)


def _messages(question: _Question) -> tuple[ChatMessage, ...]:
    first, *rest = question.question[0]
    own = ""
    if first.role == "system":
        own = first.text + "\n\n"
    else:
        rest = [first, *rest]
    functions = "\n".join(msgspec.json.encode(function).decode() for function in question.function)
    return (ChatMessage(role="system", content=f"{own}{_INSTRUCTION}{functions}"), *rest)


def _grader(case_id: str, category: str, answers: dict[str, ToolCalls]) -> ToolCalls:
    if category.endswith("irrelevance"):
        return ToolCalls(expect="none")
    if category.endswith("relevance"):
        return ToolCalls(expect="any")
    if case_id not in answers:
        raise ValueError(f"there is no answer for {case_id!r}: give BFCL's file of possible answers with --answers")
    return answers[case_id]


def _expected(call: dict[str, dict[str, tuple[Any, ...]]]) -> ExpectedCall:
    if len(call) != 1:
        raise ValueError("a call of `ground_truth` must name one function")
    ((name, arguments),) = call.items()
    alternatives = {key: tuple(_expand_all(accepted)) for key, accepted in arguments.items()}
    optional = tuple(key for key, accepted in arguments.items() if _OPTIONAL in accepted)
    return ExpectedCall(name=name, arguments=alternatives, optional=optional)


def _expand_all(accepted: Sequence[Any]) -> list[Any]:
    values = [value for each in accepted for value in _expand(each)]
    if len(values) > _MAX_ALTERNATIVES:
        raise ValueError(f"not supported: an argument with more than {_MAX_ALTERNATIVES} accepted values")
    return values


def _expand(accepted: object) -> Iterator[object]:
    """Yield the plain values of an acceptable one, in which each key of an object has a list of its own."""
    entries, array = as_object(accepted), as_array(accepted)
    if entries is not None:
        yield from _products(entries)
    elif array is not None and any(as_object(each) is not None for each in array):
        yield from (list(chosen) for chosen in _bounded([list(_expand(each)) for each in array]))
    else:
        yield accepted


def _products(entries: dict[str, object]) -> Iterator[dict[str, object]]:
    absent = object()
    parts: list[list[object]] = []
    for key, accepted in entries.items():
        values = as_array(accepted)
        if values is None:
            raise ValueError(f"not supported: the key {key!r} of an accepted object has no list of values")
        parts.append([*_expand_all(values), *([absent] if _OPTIONAL in values else [])])
    for chosen in _bounded(parts):
        yield {key: value for key, value in zip(entries, chosen, strict=True) if value is not absent}


def _bounded(parts: Sequence[Sequence[object]]) -> Iterator[tuple[object, ...]]:
    for count, chosen in enumerate(itertools.product(*parts)):
        if count >= _MAX_ALTERNATIVES:
            raise ValueError(f"not supported: an argument with more than {_MAX_ALTERNATIVES} accepted values")
        yield chosen
