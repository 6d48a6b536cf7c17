"""What a program did in one world: its effects and its result, or how it failed."""

import enum
import math
from typing import Any, Literal, cast

import msgspec

RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-12
"""Of numbers that are no integers: a sum taken in another order is the same sum, also where it is nearly 0."""

_BRIEF_CHARS = 160

Order = Literal["ordered", "multiset"]
"""Whether the order of effects counts."""


class FailureKind(enum.StrEnum):
    """Why a program is not right. The last four are a matter of what it did, all others of how it ended."""

    EXTRACT = "extract"
    SYNTAX = "syntax"
    TYPE = "type"
    UNKNOWN_TOOL = "unknown_tool"
    BAD_ARGUMENT = "bad_argument"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    SANDBOX_UNSUPPORTED = "sandbox_unsupported"
    """Python that the sandbox does not run. It says nothing about the program."""
    SANDBOX_CRASHED = "sandbox_crashed"
    TOO_MANY_CALLS = "too_many_calls"
    WRONG_EFFECT = "wrong_effect"
    WRONG_RESULT = "wrong_result"

    @property
    def of_sandbox(self) -> bool:
        """The sandbox's and not the program's."""
        return self in {FailureKind.SANDBOX_UNSUPPORTED, FailureKind.SANDBOX_CRASHED}


class Failure(msgspec.Struct, frozen=True, kw_only=True, tag="failure"):
    kind: FailureKind
    message: str


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    tool: str
    arguments: dict[str, Any]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, tag="behaviour"):
    effects: tuple[Effect, ...]
    """Calls of tools with an effect, in their order; calls that only read leave no trace."""
    result: Any = None
    """JSON, or a dict with one key `$type` for what JSON lacks. None where the program is not asked for a result."""
    reads: tuple[tuple[str, str], ...] = ()
    """Tool and the world's key of every return that the program was given. Not compared: reading is free."""


def same(one: Any, other: Any) -> bool:
    """Compare values as a reader would: 2 is 2.0 and not True, a tuple is a list, the order of a dict means nothing."""
    match one, other:
        case bool(), _:
            return one is other
        case _, bool():
            return False
        case int() | float(), int() | float():
            return one == other or ((isinstance(one, float) or isinstance(other, float)) and _near(one, other))
        case list() | tuple(), list() | tuple():
            ours, theirs = cast("list[Any]", one), cast("list[Any]", other)
            return len(ours) == len(theirs) and all(map(same, ours, theirs))
        case dict(), dict():
            mine, yours = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
            return mine.keys() == yours.keys() and all(same(value, yours[key]) for key, value in mine.items())
        case _:
            return type(one) is type(other) and one == other


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)


def difference(found: Behaviour, expected: Behaviour, order: Order) -> Failure | None:
    """Return what tells a behaviour from the expected one, effects first, or None."""
    if not _same_effects(found.effects, expected.effects, order):
        return Failure(
            kind=FailureKind.WRONG_EFFECT,
            message=f"effects: {_listed(found.effects)} instead of {_listed(expected.effects)}",
        )
    if not same(found.result, expected.result):
        return Failure(
            kind=FailureKind.WRONG_RESULT,
            message=f"result: {brief(found.result)} instead of {brief(expected.result)}",
        )
    return None


def brief(value: Any) -> str:
    """Return a value's text, cut to what fits a reason."""
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _BRIEF_CHARS else text[: _BRIEF_CHARS - 3] + "..."


def _same_effects(found: tuple[Effect, ...], expected: tuple[Effect, ...], order: Order) -> bool:
    if len(found) != len(expected):
        return False
    if order == "ordered":
        return all(map(_same_effect, found, expected))
    left = list(expected)
    for effect in found:
        match = next((position for position, other in enumerate(left) if _same_effect(effect, other)), None)
        if match is None:
            return False
        del left[match]
    return True


def _same_effect(one: Effect, other: Effect) -> bool:
    return one.tool == other.tool and same(one.arguments, other.arguments)


def _listed(effects: tuple[Effect, ...]) -> str:
    calls = [
        f"{effect.tool}({', '.join(f'{name}={value!r}' for name, value in effect.arguments.items())})"
        for effect in effects
    ]
    return _cut("; ".join(calls)) if calls else "none"
