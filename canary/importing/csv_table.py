"""Import a CSV file of questions and answers.

The first line names the columns: `question` (or `prompt`, `input`) and `answer` (or `expected`, `target`, `ideal`), and
if you like `id`, `category`, `system` and `tags` (separated by white space). Fields may be quoted and hold line breaks,
as RFC 4180 has it. A byte order mark, which spreadsheets write, is skipped.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from canary.importing.answers import AnswerRule, grader_for
from canary.importing.imported import Imported, ImportOptions, imported_case, refusal
from canary.suite.case import CaseLine
from canary.suite.text_files import read_lines
from gateway.contracts.chat import ChatMessage

_MEANING = {
    "question": "question",
    "prompt": "question",
    "input": "question",
    "answer": "answer",
    "expected": "answer",
    "target": "answer",
    "ideal": "answer",
    "id": "id",
    "category": "category",
    "system": "system",
    "tags": "tags",
}

Row = dict[str, str]


def import_csv(path: Path, options: ImportOptions) -> Imported:
    """Raises SuiteError with the line for a column that is not known, a row of another length and a blank field."""
    rule = options.rule or AnswerRule.AUTO
    cases: list[CaseLine] = []
    for line, row in read_rows(path, options):
        try:
            cases.append(_case(row, number=len(cases) + 1, rule=rule))
        except ValueError as error:
            raise refusal(path, line, error) from error
    return Imported(cases=cases, notes=(f"Answers are compared by the rule `{rule}`.",))


def read_rows(path: Path, options: ImportOptions) -> Iterator[tuple[int, Row]]:
    """Yield each row, by the meaning of its columns, with the line that it starts on."""
    reader = csv.reader((text + "\n" for _, text in read_lines(path)), strict=True)
    header: list[str | None] | None = None
    line = 1
    try:
        for fields in reader:
            if header is None:
                header = _header(path, fields, options)
            elif any(field.strip() for field in fields):
                if len(fields) != len(header):
                    raise refusal(path, line, f"has {len(fields)} fields; the first line names {len(header)} columns")
                yield line, {name: field for name, field in zip(header, fields, strict=True) if name is not None}
            line = reader.line_num + 1
    except csv.Error as error:
        raise refusal(path, reader.line_num, f"is no CSV: {error}") from error
    if header is None:
        raise refusal(path, None, "is empty: its first line must name the columns")


def _header(path: Path, fields: Sequence[str], options: ImportOptions) -> list[str | None]:
    """Return each column's meaning, None for one that is ignored."""
    header: list[str | None] = []
    for field in fields:
        name = field.strip().casefold()
        if field.strip() in options.ignore:
            header.append(None)
            continue
        if name not in _MEANING:
            known = ", ".join(_MEANING)
            raise refusal(path, 1, f"the column {field!r} is not known; known are {known}; --ignore NAME leaves it out")
        if _MEANING[name] in header:
            raise refusal(path, 1, f"two columns are the {_MEANING[name]}")
        header.append(_MEANING[name])
    for needed in ("question", "answer"):
        if needed not in header:
            raise refusal(path, 1, f"no column is named `{needed}`")
    return header


def _case(row: Row, *, number: int, rule: AnswerRule) -> CaseLine:
    if not row["question"].strip():
        raise ValueError("the question is blank")
    messages = (ChatMessage(role="user", content=row["question"]),)
    if system := row.get("system", "").strip():
        messages = (ChatMessage(role="system", content=system), *messages)
    return imported_case(
        row.get("id", "").strip() or f"row-{number:04}",
        messages,
        grader_for([row["answer"]], rule),
        category=row.get("category", "").strip() or "imported",
        tags=row.get("tags", "").split(),
    )
