"""Tell apart why a run ended in an exception: the program's mistake, a limit, or Python that Monty does not run."""

import builtins
import re
import sys

from canary.programs.behaviour import Failure, FailureKind
from canary.programs.source import Source

# What a program may expect of Python and Monty lacks. Not here is what it has no business with: files, the process, the
# network, the interpreter's inside.
_PURE_MODULES = frozenset(
    {
        *("abc", "asyncio", "base64", "bisect", "calendar", "collections", "contextlib", "copy", "csv", "dataclasses"),
        *("datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "html", "itertools", "json"),
        *("math", "numbers", "operator", "pprint", "random", "re", "statistics", "string", "textwrap", "time", "types"),
        *("typing", "unicodedata", "urllib", "uuid", "zoneinfo"),
    }
)
_FORBIDDEN_BUILTINS = frozenset(
    {
        *("__import__", "breakpoint", "compile", "copyright", "credits", "exit", "globals", "help", "input", "license"),
        *("locals", "open", "quit", "vars"),
    }
)
_MESSAGE_CHARS = 200

_UNDEFINED = re.compile(r"name '(?P<name>\w+)' is not defined")
_NO_MODULE = re.compile(r"No module named '(?P<name>\w+)")
_NO_ATTRIBUTE = re.compile(r"'(?P<type>\w+)' object has no attribute '(?P<name>\w+)'")
_NO_IMPORT = re.compile(r"cannot import name '\w+' from '(?P<name>\w+)")


def diagnose(
    error: BaseException, *, has_traceback: bool, source: Source, complaint: str | None
) -> tuple[Failure, bool]:
    """Return the failure, and whether the sandbox met a limit, after which its heap is not to be trusted.

    `complaint` is what a tool said to the last call that it refused. Limits come without a traceback, and cannot be
    caught or feigned by the program.
    """
    words = _words(error)
    if not has_traceback:
        match error:
            case TimeoutError():
                return Failure(kind=FailureKind.TIMEOUT, message=words), True
            case MemoryError():
                return Failure(kind=FailureKind.MEMORY, message=words), True
            case RuntimeError() if "suspension limit" in str(error):
                return Failure(kind=FailureKind.TOO_MANY_CALLS, message=words), True
            case _:
                pass
    return Failure(kind=_kind(error, source=source, complaint=complaint), message=words), False


def _kind(error: BaseException, *, source: Source, complaint: str | None) -> FailureKind:
    message = str(error)
    if complaint is not None and message == complaint:
        return FailureKind.BAD_ARGUMENT
    if _lacks(error, message, source):
        return FailureKind.SANDBOX_UNSUPPORTED
    undefined = _UNDEFINED.search(message) if isinstance(error, NameError) else None
    if undefined and undefined["name"] in source.called:
        return FailureKind.UNKNOWN_TOOL
    return next((kind for types, kind in _KINDS if isinstance(error, types)), FailureKind.EXCEPTION)


_KINDS: tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...] = (
    ((SyntaxError,), FailureKind.SYNTAX),
    ((MemoryError, RecursionError), FailureKind.MEMORY),
    ((TypeError, AttributeError), FailureKind.TYPE),
)


def _lacks(error: BaseException, message: str, source: Source) -> bool:  # noqa: PLR0911 - one return a kind of error
    """Return whether this is Python that CPython runs and Monty does not."""
    match error:
        case NotImplementedError():
            return message.startswith("The monty")
        case SyntaxError():
            return source.parses
        case RuntimeError():
            return message.startswith("Internal error in monty")
        case NameError():
            found = _UNDEFINED.search(message)
            return bool(found) and hasattr(builtins, found["name"]) and found["name"] not in _FORBIDDEN_BUILTINS
        case ImportError():
            found = _NO_MODULE.search(message) or _NO_IMPORT.search(message)
            return bool(found) and found["name"] in _PURE_MODULES & sys.stdlib_module_names
        case AttributeError():
            found = _NO_ATTRIBUTE.search(message)
            # Where it is not called, as in `order.items[0]`, the program takes a method for a field.
            return bool(found) and found["name"] in source.called_methods and _has(found["type"], found["name"])
        case TypeError():
            return message.endswith("'list' object is not an iterator")
        case _:
            return False


def _has(type_name: str, attribute: str) -> bool:
    known = getattr(builtins, type_name, None)
    return isinstance(known, type) and hasattr(known, attribute)


def _words(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    return text if len(text) <= _MESSAGE_CHARS else text[: _MESSAGE_CHARS - 3] + "..."
