"""Write a suite's directory: for a new suite, and for cases that come from another tool."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from canary.errors import UsageError
from canary.grading import grader_versions
from canary.suite.case import CaseLine
from canary.suite.case_file import CASES_FILE
from canary.suite.manifest import MANIFEST_FILE

NOTES_FILE = "NOTES.md"
_EVIDENCE_FAMILIES = 90
"""What the default profile needs for the default margin."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a new suite consists of."""

    name: str
    purpose: str
    notes: str
    """Markdown, after the title."""
    categories: dict[str, str]
    cases: Sequence[CaseLine]
    system: str | None = None
    max_completion_tokens: int | None = None
    """None leaves the default."""


def write_suite(draft: Draft, directory: Path) -> None:
    """Write the three files. Raises UsageError where the directory holds anything already or cannot be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty: name a new directory")
        (directory / MANIFEST_FILE).write_text(_manifest(draft), encoding="utf-8")
        lines = (msgspec.json.encode(case).decode() + "\n" for case in draft.cases)
        (directory / CASES_FILE).write_text("".join(lines), encoding="utf-8")
        (directory / NOTES_FILE).write_text(f"# {draft.name}\n\n{draft.notes.strip()}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror or error}") from error


def _manifest(draft: Draft) -> str:
    lines = [f"name = {_quoted(draft.name)}", f"purpose = {_quoted(draft.purpose)}"]
    if draft.system is not None:
        lines.append(f"system = {_quoted(draft.system)}")
    if draft.max_completion_tokens is not None:
        lines.append(f"max_completion_tokens = {draft.max_completion_tokens}")
    if len({case.family or case.id for case in draft.cases}) < _EVIDENCE_FAMILIES:
        # Under the default profile, so few could decide nothing.
        lines.append('profile = "seed"')
    lines += ["", "[categories]", *(f"{_quoted(key)} = {_quoted(title)}" for key, title in draft.categories.items())]
    kinds = sorted({case.grader.kind for case in draft.cases})
    lines += ["", "[graders]", *(f"{kind} = {grader_versions()[kind]}" for kind in kinds)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a TOML basic string: its escapes are JSON's, but for DEL, and for surrogates, which TOML has not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
