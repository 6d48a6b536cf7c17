"""Read records of JSON, one a line or in one array, each with the line that it starts on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from canary.grading.json_text import as_object
from canary.importing.imported import ImportOptions, refusal
from canary.suite.text_files import read_lines, read_text

T = TypeVar("T")


def read_json_lines(path: Path) -> Iterator[tuple[int, object]]:
    """Yield each line's value. Raises SuiteError with the line."""
    for number, line in read_lines(path):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line)
            except RecursionError as error:
                raise refusal(path, number, "nested too deeply") from error
            except msgspec.DecodeError as error:
                raise refusal(path, number, f"cannot be parsed: {error}") from error


def read_json_array(path: Path) -> Iterator[tuple[int, object]]:
    """Yield each element of the array that the file is. Raises SuiteError with the line."""
    text = read_text(path)
    decoder = json.JSONDecoder()
    at = _skip_space(text, 0)
    if not text[at:].startswith("["):
        raise refusal(path, None, "is no JSON array")
    at = _skip_space(text, at + 1)
    while not text.startswith("]", at):
        line = text.count("\n", 0, at) + 1
        try:
            value, at = decoder.raw_decode(text, at)
        except RecursionError as error:
            raise refusal(path, line, "nested too deeply") from error
        except json.JSONDecodeError as error:
            raise refusal(path, error.lineno, f"cannot be parsed: {error.msg}") from error
        yield line, value
        at = _skip_space(text, at)
        if text.startswith(",", at):
            at = _skip_space(text, at + 1)
        elif not text.startswith("]", at):
            raise refusal(path, text.count("\n", 0, at) + 1, "cannot be parsed: expected `,` or `]` after an element")


def as_record(value: object, kind: type[T], *, path: Path, line: int, options: ImportOptions) -> T:
    """Return the value as a Struct, without the fields to ignore. Raises SuiteError that names what is unsupported."""
    if (fields := as_object(value)) is not None:
        value = {name: each for name, each in fields.items() if name not in options.ignore}
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        hint = "; --ignore NAME leaves a field out" if "unknown field" in str(error) else ""
        raise refusal(path, line, f"not supported: {error}{hint}") from error


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
