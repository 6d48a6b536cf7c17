"""Import a dataset of inspect_ai (inspect.aisi.org.uk/datasets.html): JSON, JSON Lines or CSV, told by the file's name.

A sample has `input` (text or messages) and `target` (one or several), and may have `id`, `choices` and `metadata`,
which is left out. With `choices` the prompt and the grader are those of its `multiple_choice()` solver with one answer:
the model is to say `ANSWER: B`. What needs more than a model is refused by name: `sandbox`, `files`, `setup`.
"""

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from canary.grading.regex import Regex
from canary.importing.answers import AnswerRule, grader_for
from canary.importing.csv_table import read_rows
from canary.importing.imported import Imported, ImportOptions, imported_case, refusal
from canary.importing.records import as_record, read_json_array, read_json_lines
from canary.suite.case import CaseLine
from gateway.contracts.chat import ChatMessage


class _Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    input: str | tuple[ChatMessage, ...]
    target: str | tuple[str, ...]
    id: str | int | None = None
    choices: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None


def import_inspect(path: Path, options: ImportOptions) -> Imported:
    """Raises SuiteError with the line."""
    rule = options.rule or AnswerRule.AUTO
    cases: list[CaseLine] = []
    for line, value in _read(path, options):
        sample = as_record(value, _Sample, path=path, line=line, options=options)
        try:
            cases.append(_case(sample, number=len(cases) + 1, rule=rule))
        except ValueError as error:
            raise refusal(path, line, error) from error
    return Imported(cases=cases, notes=(f"Answers are compared by the rule `{rule}`, choices by their letter.",))


def _read(path: Path, options: ImportOptions) -> Iterator[tuple[int, object]]:
    match path.suffix:
        case ".csv":
            for line, row in read_rows(path, options):
                named = {"input": row["question"], "target": row["answer"], "id": row.get("id") or None}
                yield line, named
        case ".json":
            yield from read_json_array(path)
        case ".jsonl":
            yield from read_json_lines(path)
        case suffix:
            raise refusal(path, None, f"not supported: a dataset whose name ends in {suffix or 'nothing'!r}")


def _case(sample: _Sample, *, number: int, rule: AnswerRule) -> CaseLine:
    messages = sample.input if isinstance(sample.input, tuple) else (ChatMessage(role="user", content=sample.input),)
    targets = (sample.target,) if isinstance(sample.target, str) else sample.target
    if not messages or messages[-1].role != "user":
        raise ValueError("not supported: `input` whose last message is not the user's")
    if sample.choices is None:
        grader = grader_for(targets, rule)
    else:
        letters = string.ascii_uppercase[: len(sample.choices)]
        if len(targets) != 1 or len(sample.choices) > len(letters) or targets[0] not in [*letters]:
            raise ValueError(f"not supported: `choices` whose `target` is not one letter of {letters}")
        messages = (
            *messages[:-1],
            ChatMessage(role="user", content=_multiple_choice(messages[-1].text, sample.choices)),
        )
        grader = Regex(pattern=rf"(?i)\bANSWER\s*:\s*\(?{targets[0]}\b")
    return imported_case(f"sample-{number:04}" if sample.id is None else str(sample.id), messages, grader)


def _multiple_choice(question: str, choices: tuple[str, ...]) -> str:
    letters = string.ascii_uppercase[: len(choices)]
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(letters, choices, strict=True))
    return (
        "Answer the following multiple choice question. Your whole answer has the form 'ANSWER: LETTER' (without "
        f"quotes), where LETTER is one of {','.join(letters)}.\n\n{question}\n\n{listed}"
    )
