"""What lint finds before a model is asked, with the line it stands on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from canary.suite.lint import Finding, lint
from canary.suite.scaffold import write_scaffold

EVIDENCE = 'name = "mini"\npurpose = "A test."\n'
HEAD = EVIDENCE + 'profile = "seed"\n'
CATEGORIES = '[categories]\nsums = "Sums"\nwords = "Words"\n'


def criterion(**keys: object) -> str:
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in {"name": "x", **keys}.items())
    return "[[criteria]]\n" + "".join(lines)


def accuracy(**keys: object) -> str:
    return criterion(**{"metric": "accuracy", "rule": "at_least", "bound": 0.5, **keys})


def cases(*, sums: int = 20, words: int = 20, family: str | None = None) -> list[dict[str, object]]:
    return [
        {
            "id": f"{category}-{number}",
            "category": category,
            "family": family or f"{category}-{number}",
            "prompt": f"{category} {number}?",
            "grader": {"kind": "exact", "answers": ["4"]},
        }
        for category, count in {"sums": sums, "words": words}.items()
        for number in range(count)
    ]


def findings(
    directory: Path, *, manifest: str = HEAD + CATEGORIES, lines: Sequence[Mapping[str, object] | str] | None = None
) -> list[str]:
    """Return `severity file:line message` of each finding, the directory left out."""
    (directory / "suite.toml").write_text(manifest)
    written = [line if isinstance(line, str) else json.dumps(line) for line in (cases() if lines is None else lines)]
    (directory / "cases.jsonl").write_text("".join(line + "\n" for line in written))
    return [_short(finding, directory) for finding in lint(directory)]


def _short(finding: Finding, directory: Path) -> str:
    return f"{finding.severity} {finding.message.removeprefix(f'{directory}/')}"


def test_a_sound_suite_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path) == []


def test_a_new_suite_lints_clean(tmp_path: Path) -> None:
    write_scaffold(tmp_path / "mine")
    assert lint(tmp_path / "mine") == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (accuracy(bound=1.5), 12, "the bound 1.5 lies outside the range of accuracy, 0 to 1"),
        (accuracy(bound=-0.1), 12, "outside the range"),
        (accuracy(bound=0), 12, "every candidate has accuracy at_least 0"),
        (accuracy(rule="at_most", bound=1), 12, "every candidate has accuracy at_most 1"),
        (accuracy(rule="no_worse_than", bound=-0.1), 12, "a margin cannot be negative"),
        (accuracy(rule="no_worse_than", bound=1), 12, "excludes nothing"),
        (criterion(metric="load_time_s", rule="at_most", bound=0), 12, "which is above 0"),
        (criterion(metric="disk_bytes", rule="at_least", bound=-1), 12, "which is above 0"),
        (criterion(metric="field_access", rule="at_least", bound=0.5), 10, "which `measures` does not list"),
        (
            accuracy(bound=0.9) + accuracy(name="y", rule="at_most", bound=0.8),
            12,
            "criteria 'x' and 'y' contradict each other: accuracy cannot be at least 0.9 and at most 0.8",
        ),
    ],
)
def test_a_criterion_that_cannot_hold_or_cannot_fail_is_an_error(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    (found,) = findings(tmp_path, manifest=HEAD + CATEGORIES + "\n" + text)
    assert found.startswith(f"error suite.toml, line {line}: criteri")
    assert words in found


TIMED = "[protocol.latency]\nconcurrency = 4\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (accuracy(tag="hard"), "no case has the tag 'hard'"),
        (criterion(metric="end_to_end_s", rule="at_most", bound=3, tag="hard"), "no case has the tag 'hard'"),
        (criterion(metric="end_to_end_s", rule="at_most", bound=3, concurrency=8), "nothing is timed at 8 requests"),
        (criterion(metric="end_to_end_s", rule="at_most", bound=3, statistic="p95"), "it takes 63"),
    ],
)
def test_a_subgroup_without_enough_is_found(tmp_path: Path, text: str, words: str) -> None:
    (found,) = findings(tmp_path, manifest=HEAD + CATEGORIES + TIMED + text)
    assert "inconclusive whatever a candidate does" in found
    assert words in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (criterion(metric="memory_peak_bytes", rule="at_most", bound=3, tag="x"), "the engine's, and has no tags"),
        (criterion(metric="end_to_end_s", rule="at_most", bound=3, concurrency=8), "give [protocol.latency]"),
    ],
)
def test_a_subgroup_that_cannot_be_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    (found,) = findings(tmp_path, manifest=HEAD + CATEGORIES + text)
    assert found.startswith("error suite.toml, line")
    assert words in found


def test_a_protocol_that_measures_memory_lints_clean(tmp_path: Path) -> None:
    assert findings(tmp_path, manifest=HEAD + CATEGORIES + "[protocol.memory]\n") == []


@pytest.mark.parametrize("bound", ["nan", "inf"])
def test_a_bound_that_is_no_number_is_an_error(tmp_path: Path, bound: str) -> None:
    text = accuracy().replace("0.5", bound)
    assert findings(tmp_path, manifest=HEAD + CATEGORIES + text) == [
        f"error suite.toml, line 11: criterion 'x': the bound {bound} is no number"
    ]


def test_too_few_families_for_the_default_profile_are_an_error(tmp_path: Path) -> None:
    found = findings(tmp_path, manifest=EVIDENCE + CATEGORIES)
    assert found == [
        "error suite.toml: criterion 'accuracy_vs_incumbent' is inconclusive whatever a candidate does under profile "
        "`full`: with no difference on any of 40 families, a loss of 5.0 points is not excluded: that takes 90"
    ]
    assert findings(tmp_path, manifest=EVIDENCE + CATEGORIES, lines=cases(sums=50, words=50)) == []


def test_an_advisory_criterion_that_cases_cannot_decide_is_a_warning(tmp_path: Path) -> None:
    text = criterion(name="slow", metric="generation_time_s", rule="at_most", bound=9, statistic="p99", required=False)
    found = findings(tmp_path, manifest=EVIDENCE + CATEGORIES + text, lines=cases(sums=50, words=50))
    assert len(found) == 1
    assert found[0].startswith("warning suite.toml, line 6: criterion 'slow' is inconclusive")
    assert "p99 cannot be bounded by 24 prompts: it takes 321" in found[0]


def test_floors_of_two_categories_do_not_contradict_each_other(tmp_path: Path) -> None:
    text = accuracy(bound=0.9, category="sums") + accuracy(name="y", rule="at_most", bound=0.8, category="words")
    assert findings(tmp_path, manifest=HEAD + CATEGORIES + text) == []


def test_a_template_argument_that_the_gateway_refuses_is_an_error(tmp_path: Path) -> None:
    arguments = "[template_arguments]\nenable_thinking = false\ntools = true\n"
    (finding,) = findings(tmp_path, manifest=HEAD + arguments + CATEGORIES)
    assert finding.startswith("error suite.toml, line 6: the template argument 'tools' is not for a suite to set")


def test_a_suite_without_a_required_criterion_decides_nothing(tmp_path: Path) -> None:
    names = {"accuracy": "accuracy", "generation_time": "generation_time_s", "memory": "memory_bytes"}
    text = "".join(
        criterion(name=name, metric=metric, rule="at_most", bound=0.9, required=False) for name, metric in names.items()
    )
    text += accuracy(name="accuracy_vs_incumbent", rule="no_worse_than", required=False)
    (found,) = findings(tmp_path, manifest=HEAD + CATEGORIES + text)
    assert "no criterion is required, so every verdict is inconclusive" in found


def test_more_pairs_than_cases_is_an_error(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, manifest=HEAD + "min_pairs = 50\n" + CATEGORIES)
    assert found == "error suite.toml, line 4: `min_pairs` is 50 and there are 40 cases: nothing can be decided"


@pytest.mark.parametrize("count", [0, 9])
def test_a_criterion_on_a_category_with_too_few_cases_is_an_error(tmp_path: Path, count: int) -> None:
    found = findings(
        tmp_path, manifest=HEAD + CATEGORIES + accuracy(category="words"), lines=cases(sums=40, words=count)
    )
    assert found[0] == (
        "error suite.toml, line 12: criterion 'x' is inconclusive whatever a candidate does: `min_pairs` is 10, and "
        f"the category 'words' has {count} cases"
    )


@pytest.mark.parametrize(("count", "words"), [(0, "no case is of the category"), (9, "too few to decide anything")])
def test_a_category_that_is_too_small_is_a_warning(tmp_path: Path, count: int, words: str) -> None:
    (found,) = findings(tmp_path, lines=cases(sums=40, words=count))
    assert found.startswith("warning suite.toml, line 6: ")
    assert words in found


def test_many_cases_of_few_families_are_a_warning(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, lines=cases(family="one"))
    assert found.startswith("warning suite.toml: 40 cases are of 1 families, which fail together")


def test_a_margin_finer_than_one_case_is_a_warning(tmp_path: Path) -> None:
    (found,) = findings(
        tmp_path,
        manifest=HEAD + CATEGORIES + accuracy(name="accuracy_vs_incumbent", rule="no_worse_than", bound=0.01),
    )
    assert found.startswith("warning suite.toml, line 11: ")
    assert "one case of 40 is 2.5 points, more than the margin of 1.0: a single flip decides" in found


def test_a_question_asked_twice_is_a_warning(tmp_path: Path) -> None:
    again = {**cases()[0], "id": "again", "family": "again"}
    assert findings(tmp_path, lines=[*cases(), again]) == [
        "warning cases.jsonl, line 41: the case 'again' asks what line 1 asks already"
    ]


@pytest.mark.parametrize("pattern", ["a*", "(?s).*", "|x", "\\b|^"])
def test_a_pattern_that_accepts_any_answer_is_an_error(tmp_path: Path, pattern: str) -> None:
    loose = {**cases()[0], "id": "loose", "prompt": "x", "grader": {"kind": "regex", "pattern": pattern}}
    (found,) = findings(tmp_path, lines=[*cases(), loose])
    assert found.startswith("error cases.jsonl, line 41: the case 'loose' accepts any answer")


def test_a_pattern_that_wants_an_empty_answer_is_none_of_those(tmp_path: Path) -> None:
    empty = {**cases()[0], "id": "empty", "prompt": "x", "grader": {"kind": "regex", "pattern": r"^\s*$"}}
    assert findings(tmp_path, lines=[*cases(), empty]) == []


def test_every_bad_line_is_reported_at_once(tmp_path: Path) -> None:
    found = findings(tmp_path, lines=["{", *cases(), cases()[0], "[]"])
    assert [each.split(": ")[0] for each in found] == [
        "error cases.jsonl, line 1",
        "error cases.jsonl, line 42",
        "error cases.jsonl, line 43",
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("suite.toml", b"", "missing required field"),
        ("suite.toml", b"\xff", "suite.toml, line 1: not UTF-8"),
        ("cases.jsonl", b"", "cases.jsonl holds no case"),
        ("cases.jsonl", b"\n\r\n", "cases.jsonl holds no case"),
        ("cases.jsonl", b"\xff\xfe{\x00", "cases.jsonl, line 1: not UTF-8"),
        ("cases.jsonl", None, "cases.jsonl: No such file"),
        ("suite.toml", None, "suite.toml: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    findings(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    (finding,) = lint(tmp_path)
    assert finding.severity == "error"
    assert words in finding.message


def test_lint_runs_no_command_of_the_suite(tmp_path: Path) -> None:
    script = tmp_path / "grade.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    command = {**cases()[0], "id": "own", "prompt": "x", "grader": {"kind": "command", "command": ["./grade.sh"]}}
    assert findings(tmp_path, lines=[*cases(), command]) == []
    assert not (tmp_path / "ran").exists()
