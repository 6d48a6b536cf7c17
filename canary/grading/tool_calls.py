"""The answer calls the expected tools with acceptable arguments, by the rules of BFCL's AST check.

The rules (Berkeley Function Calling Leaderboard, `ast_checker.py` and `eval_runner.py` of `bfcl_eval/eval_checker`):
each argument has a list of acceptable values; strings are compared without case, spaces and `,./-_*^`; an argument that
nothing expects is wrong; parallel calls match in any order, each once, and their number counts; `irrelevance` wants no
call and `relevance` any call. BFCL also checks declared types, which its acceptable values imply; and it lets a call
that cannot be read pass as none for `irrelevance`, which is a mistake here as everywhere.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec

from canary.grading.call_text import BadCall, Call, find_calls
from canary.grading.json_text import as_array, as_object, canonical
from gateway.contracts.evaluations import Grade

_MAX_CALLS = 16
"""Of an expectation. More would make the search for a matching of calls the slow part."""
_LOOSE = re.compile(r"[ ,./\-_*^]")


class ExpectedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    arguments: dict[str, tuple[Any, ...]] = {}
    """For each argument the values that are accepted."""
    optional: tuple[str, ...] = ()
    """Arguments that may be left out."""


class ToolCalls(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="tool_calls",
):
    """`{"kind": "tool_calls", "calls": [{"name": "weather", "arguments": {"city": ["Oslo"]}}]}`.

    `"expect": "none"` wants no call (BFCL's irrelevance), `"expect": "any"` wants at least one (relevance).
    """

    kind: ClassVar[str] = "tool_calls"
    version: ClassVar[int] = 2

    expect: Literal["calls", "any", "none"] = "calls"
    calls: tuple[ExpectedCall, ...] = ()
    in_order: bool = False

    def __post_init__(self) -> None:
        if (self.expect == "calls") != bool(self.calls):
            raise ValueError(
                '`calls` must hold at least one call, or `expect` be "any" or "none" and `calls` be left out'
            )
        if len(self.calls) > _MAX_CALLS:
            raise ValueError(f"`calls` holds {len(self.calls)} calls; at most {_MAX_CALLS} are supported")
        for call in self.calls:
            for name, accepted in call.arguments.items():
                if not accepted:
                    raise ValueError(f"the argument {name!r} of {call.name!r} has no acceptable value")
            for name in call.optional:
                if name not in call.arguments:
                    raise ValueError(f"{name!r} is optional in {call.name!r} and has no acceptable value")

    def grade(self, answer: str) -> Grade:
        try:
            found = find_calls(answer)
        except BadCall as error:
            return Grade(value=0.0, reason=str(error))
        if self.expect == "none":
            return _grade(not found, "calls no tool", f"calls {_names(found)} where no tool helps")
        if self.expect == "any":
            return _grade(bool(found), "calls a tool", "calls no tool")
        if len(found) != len(self.calls):
            return Grade(value=0.0, reason=f"makes {len(found)} calls, expected {len(self.calls)}")
        return self._grade_calls(found)

    def describe(self) -> str:
        if self.expect == "none":
            return "no tool call"
        if self.expect == "any":
            return "some tool call"
        order = " in this order" if self.in_order and len(self.calls) > 1 else ""
        return f"calls{order}: " + "; ".join(_call_in_words(call) for call in self.calls)

    def _grade_calls(self, found: Sequence[Call]) -> Grade:
        if self.in_order or len(found) == 1:
            for expected, call in zip(self.calls, found, strict=True):
                if complaint := _mismatch(expected, call):
                    return Grade(value=0.0, reason=complaint)
            return Grade(value=1.0, reason="makes the expected calls")
        fits = [[_mismatch(expected, call) is None for call in found] for expected in self.calls]
        for expected, row in zip(self.calls, fits, strict=True):
            if not any(row):
                return Grade(value=0.0, reason=f"no call is the expected one of {expected.name}")
        return _grade(
            _can_be_matched(fits), "makes the expected calls", "two expected calls fit only one of those made"
        )


def _grade(passes: bool, yes: str, no: str) -> Grade:
    return Grade(value=1.0, reason=yes) if passes else Grade(value=0.0, reason=no)


def _mismatch(expected: ExpectedCall, call: Call) -> str | None:
    """Return the first difference in words, or None."""
    if call.name != expected.name:
        return f"calls {call.name}, expected {expected.name}"
    for name, value in call.arguments.items():
        if name not in expected.arguments:
            return f"{call.name} has the unexpected argument {name}"
        accepted = [_loosened(canonical(each)) for each in expected.arguments[name]]
        if _loosened(canonical(value)) not in accepted:
            return f"{call.name} has another value of {name}"
    for name in expected.arguments:
        if name not in call.arguments and name not in expected.optional:
            return f"{call.name} lacks the argument {name}"
    return None


def _loosened(value: object) -> object:
    """Return the value with its strings as BFCL's `standardize_string` leaves them."""
    if isinstance(value, str):
        return _LOOSE.sub("", value).lower().replace("'", '"')
    if (entries := as_object(value)) is not None:
        return {key: _loosened(each) for key, each in entries.items()}
    if (array := as_array(value)) is not None:
        return [_loosened(each) for each in array]
    return value


def _can_be_matched(fits: Sequence[Sequence[bool]]) -> bool:
    """Return whether each row can have a column of its own (augmenting paths, after Kuhn)."""
    row_of: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in tried:
                tried.add(column)
                if column not in row_of or place(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(fits)))


def _names(calls: Sequence[Call]) -> str:
    return ", ".join(call.name for call in calls)


def _call_in_words(call: ExpectedCall) -> str:
    arguments = ", ".join(
        f"{name}={' or '.join(msgspec.json.encode(value).decode() for value in accepted)}"
        + ("?" if name in call.optional else "")
        for name, accepted in call.arguments.items()
    )
    return f"{call.name}({arguments})"
