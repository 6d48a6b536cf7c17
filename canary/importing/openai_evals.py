"""Import the samples of OpenAI's evals (github.com/openai/evals, `evals/registry/data/*/*.jsonl`).

A line is `{"input": "..." or [messages], "ideal": "..." or ["...", ...]}`. The class that compares them stands in
another file of that registry, so `--rule` says it: `starts-with` is `basic.match:Match` and the default, `includes` is
`basic.includes:Includes`, `text` comes near `basic.fuzzy_match:FuzzyMatch`. Samples of model-graded classes have no
`ideal` and are refused.
"""

from pathlib import Path

import msgspec

from canary.importing.answers import AnswerRule, grader_for
from canary.importing.imported import Imported, ImportOptions, imported_case, refusal
from canary.importing.records import as_record, read_json_lines
from canary.suite.case import CaseLine
from gateway.contracts.chat import ChatMessage


class _Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    input: str | tuple[ChatMessage, ...]
    ideal: str | tuple[str, ...]


def import_openai_evals(path: Path, options: ImportOptions) -> Imported:
    """Raises SuiteError with the line."""
    rule = options.rule or AnswerRule.STARTS_WITH
    cases: list[CaseLine] = []
    for line, value in read_json_lines(path):
        sample = as_record(value, _Sample, path=path, line=line, options=options)
        messages = (
            sample.input if isinstance(sample.input, tuple) else (ChatMessage(role="user", content=sample.input),)
        )
        if not messages or messages[-1].role != "user":
            raise refusal(path, line, "not supported: `input` whose last message is not the user's")
        ideal = (sample.ideal,) if isinstance(sample.ideal, str) else sample.ideal
        try:
            grader = grader_for(ideal, rule)
        except ValueError as error:
            raise refusal(path, line, error) from error
        cases.append(imported_case(f"sample-{len(cases) + 1:04}", messages, grader))
    return Imported(cases=cases, notes=(f"Answers are compared by the rule `{rule}`.",))
