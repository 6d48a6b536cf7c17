"""A difference is shown for all that the digest covers, and for nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from canary.suite import Suite, load_suite
from canary.suite.diff import diff_suites
from canary.suite.scaffold import write_scaffold


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str], tuple[Suite, Suite]]:
    """Return the scaffold, and the scaffold with a text replaced in whichever file has it."""

    def edit(old: str, new: str) -> tuple[Suite, Suite]:
        for folder in ("before", "after"):
            write_scaffold(tmp_path / folder / "mine")
        for path in (tmp_path / "after" / "mine").iterdir():
            path.write_text(path.read_text().replace(old, new))
        before, after = (load_suite("mine", search_path=[tmp_path / folder]) for folder in ("before", "after"))
        return before, after

    return edit


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (
            '"category":"sums","prompt":"What is 1 plus 2?"',
            '"category":"sums","prompt":"1 + 2?"',
            ["~ case sum-01: messages"],
        ),
        ('"value":3.0', '"value":30', ["~ case sum-01: grader"]),
        ('"id":"sum-01"', '"id":"sum-99"', ["- case sum-01", "+ case sum-99"]),
        ('"id":"sum-01",', '"id":"sum-01","tags":["demo"],', ["~ case sum-01: tags"]),
        ("[categories]", 'seed = 3\n[categories]\nart = "Art"', ["~ seed: 0 -> 3", "+ category art"]),
        (
            "[graders]",
            '[[criteria]]\nname = "accuracy"\nmetric = "accuracy"\nrule = "at_least"\nbound = 0.5\n[graders]',
            ["~ criterion accuracy: accuracy at_least 0.8 -> accuracy: accuracy at_least 0.5"],
        ),
        (
            "[categories]",
            "template_arguments = {enable_thinking = false}\n[categories]",
            ["~ template_arguments: {} -> {'enable_thinking': False}"],
        ),
        ("Say in one sentence", "Say in one word", []),
        ('"Sums"', '"Additions"', []),
    ],
)
def test_each_difference_is_one_line(
    edited: Callable[[str, str], tuple[Suite, Suite]], old: str, new: str, lines: list[str]
) -> None:
    before, after = edited(old, new)
    found = list(diff_suites(before, after))
    assert [line for line in found if "case sum-0" in line or "sum-99" in line or "case" not in line][:2] == lines
    assert (before.digest == after.digest) == (not found)
