"""A suite to start from: it lints clean, runs as it is, and each line shows what to replace."""

from pathlib import Path

from canary.grading.numeric import Numeric
from canary.suite.case import CaseLine
from canary.suite.write import Draft, write_suite

_CASES_COUNT = 24
"""One case is then less than the default margin of 5 points."""

_NOTES = """
What this suite measures, for which model, and who says so. Replace this text, the cases and the purpose.

## Provenance and licence

Written by `canary suite new`: sums that stand in for your own cases.

## Floors

Set them in `suite.toml` before the first candidate is measured; what is not set is the default (`canary suite show`).
"""


def write_scaffold(directory: Path) -> None:
    """Write a suite of sums under the directory's name. Raises UsageError where something is there already."""
    sums = [(a, b) for a in range(1, 7) for b in range(2, 6)][:_CASES_COUNT]
    cases = [
        CaseLine(
            id=f"sum-{number:02}", category="sums", prompt=f"What is {a} plus {b}?", grader=Numeric(value=float(a + b))
        )
        for number, (a, b) in enumerate(sums, start=1)
    ]
    draft = Draft(
        name=directory.resolve().name,
        purpose="Say in one sentence what a model that passes can be trusted with.",
        notes=_NOTES,
        categories={"sums": "Sums"},
        cases=cases,
        system="Answer with the number only.",
        max_completion_tokens=64,
    )
    write_suite(draft, directory)
