"""Read `cases.jsonl` line by line."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from canary.errors import SuiteError
from canary.grading import grader_versions
from canary.suite.case import Case, CaseLine, complete
from canary.suite.text_files import read_lines
from canary.suite.tools_file import read_tools
from gateway.contracts.heldout import HELDOUT_TAG
from gateway.contracts.suites import SuiteManifest

CASES_FILE = "cases.jsonl"


def read_cases(directory: Path, manifest: SuiteManifest) -> Iterator[tuple[int, Case | SuiteError]]:
    """Yield the line's number with its case, or with what is wrong with it; blank lines are skipped.

    Raises SuiteError where the file itself, or the suite's tools, cannot be read.
    """
    path = directory / CASES_FILE
    tools = read_tools(directory)
    line_of: dict[str, int] = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            place = f"{CASES_FILE}, line {number}"
            case = complete(_parse(line), manifest, directory=directory, tools=tools, place=place)
        except ValueError as error:  # msgspec's errors are such
            yield number, SuiteError(f"{path}, line {number}: {error}")
            continue
        if case.id in line_of:
            complaint = f"the id {case.id!r} is that of line {line_of[case.id]} already"
            yield number, SuiteError(f"{path}, line {number}: {complaint}")
            continue
        line_of[case.id] = number
        yield number, case


def _parse(line: str) -> CaseLine:
    try:
        parsed = msgspec.json.decode(line, type=CaseLine)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except msgspec.ValidationError as error:
        words = str(error)
        if "$.grader" in words and "kind" in words:
            raise ValueError(f"{words} (graders: {', '.join(grader_versions())})") from error
        raise
    except msgspec.DecodeError as error:
        raise ValueError(f"cannot be parsed: {error}") from error
    if HELDOUT_TAG in parsed.tags:
        raise ValueError(f"the tag {HELDOUT_TAG!r} is that of cases which no file holds")
    return parsed
