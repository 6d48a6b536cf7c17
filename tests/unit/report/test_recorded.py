"""The recorded validation of Phase 26: the document's digits, what follows from them, and files that are wrong."""

from pathlib import Path

import pytest

from canary.errors import SuiteError
from canary.report.recorded import load_recorded, render_markdown_recorded

PHASE26 = Path(__file__).parents[3] / "suites" / "phase26"
RUN = (PHASE26 / "recorded" / "run.toml").read_text(encoding="utf-8")


def report_of(text: str, directory: Path) -> str:
    (directory / "recorded").mkdir()
    (directory / "recorded" / "run.toml").write_text(text, encoding="utf-8")
    return render_markdown_recorded(load_recorded(directory))


def changed(old: str, new: str) -> str:
    assert old in RUN, f"the recorded run has no {old!r}"
    return RUN.replace(old, new)


def rows(report: str, section: str) -> dict[str, list[str]]:
    """Return the cells of a section's table by the first of each row."""
    body = report.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.fixture(scope="module")
def report() -> str:
    return render_markdown_recorded(load_recorded(PHASE26))


FIVE_BIT = "Phase 26 (5-bit)"


def test_the_validation_table_has_the_documents_digits(report: str) -> None:
    assert rows(report, "Validation Suite (25 queries)") == {
        "Metric": ["Phase 23 (5-bit)", "Phase 26 (6-bit)", FIVE_BIT, "Winner"],
        "Overall accuracy": ["24% (6/25)", "88% (22/25)", "92% (23/25)", FIVE_BIT],
        "Field access rate": ["5% (1/20)", "85% (17/20)", "90% (18/20)", FIVE_BIT],
        "Discrimination": ["100% (5/5)", "100% (5/5)", "100% (5/5)", "tie"],
    }


def test_the_speed_table_has_the_documents_digits(report: str) -> None:
    assert rows(report, "Speed Benchmark (5 queries)") == {
        "Metric": ["Phase 23 (5-bit)", "Phase 26 (6-bit)", FIVE_BIT, "Winner"],
        "Avg gen time": ["2.47s", "5.76s", "2.53s", FIVE_BIT],
        "Load time": ["5.59s", "7.04s", "5.57s", FIVE_BIT],
        "Memory": ["19.55 GiB", "23.11 GiB", "19.55 GiB", FIVE_BIT],
        "Disk size": ["19.56 GiB", "23.12 GiB", "19.56 GiB", FIVE_BIT],
        "Accuracy": ["100% (5/5)", "100% (5/5)", "100% (5/5)", "tie"],
    }


def test_categories_that_were_not_published_are_not_recorded(report: str) -> None:
    missing = "not recorded"

    assert rows(report, "Category breakdown") == {
        "Category": ["Phase 23 (5-bit)", "Phase 26 (6-bit)", FIVE_BIT],
        "A. Discrimination": ["100% (5/5)", "100% (5/5)", "100% (5/5)"],
        "B. Conditional logic": [missing, missing, "100% (5/5)"],
        "C. Field access": [missing, missing, "80% (4/5)"],
        "D. Iteration": [missing, missing, "100% (5/5)"],
        "E. Multi-step workflows": [missing, missing, "80% (4/5)"],
    }


def test_the_decision_matrix_says_by_how_much_each_criterion_is_met(report: str) -> None:
    of_five_bit = [cells[-1] for cells in rows(report, "Decision Matrix").values()][1:]

    assert of_five_bit == [
        "92% (23/25): met by 12 points",
        "90% (18/20): met by 10 points",
        "2.53s: met by 0.47s",
        "19.55 GiB: met by 0.45 GiB",
    ]


def test_the_recommendation_deploys_the_five_bit_build_and_archives_the_six_bit_one(report: str) -> None:
    assert "**Deploy Phase 26 (5-bit) (`fused_model_qwen3_phase26_5bit/`).** It meets all 4 criteria." in report
    assert "2.3x the speed (2.53s against 5.76s)" in report
    assert "- Archive Phase 26 (6-bit) (`fused_model_qwen3_phase26_6bit/`), which frees 23.12 GiB of disk" in report
    assert "Archive Phase 23" not in report


def test_the_comparison_with_the_baseline_is_computed_where_both_figures_exist(report: str) -> None:
    compared = {figure: cells[-1] for figure, cells in rows(report, "Comparison with Phase 23 (5-bit)").items()}

    assert compared == {
        "Figure": "Difference",
        "Overall accuracy": "+68 points",
        "Field access rate": "+85 points",
        "Discrimination": "same",
        "Conditional logic": "not recorded",
        "Field access": "not recorded",
        "Iteration": "not recorded",
        "Multi-step workflows": "not recorded",
        "Avg gen time": "+0.06s (+2.4%)",
        "Load time": "-0.02s (-0.4%)",
        "Memory": "same",
        "Disk size": "same",
    }


@pytest.mark.parametrize(
    "finding",
    [
        "19.56 is 15.4% smaller than 23.12, not 18%",
        "92% against 88% is one query of 25",
        "75% to 97.8% and 70% to 95.8%, overlap",
        "Field access is the accuracy on the 20 queries outside category A",
        "the sizes called GB are GiB",
        "19.55 GiB is 20.99 GB",
        "Phase 23 (5-bit), right on 24% (6/25) of the validation suite, scores 100% (5/5) on it",
    ],
)
def test_what_the_document_got_wrong_is_marked(report: str, finding: str) -> None:
    assert finding in report.partition("## What the document got wrong")[2]


def test_findings_follow_the_figures(tmp_path: Path) -> None:
    report = report_of(changed("disk_gib = 23.12", "disk_gib = 23.85"), tmp_path)

    assert "not 18%" not in report  # 19.56 of 23.85 is 18.0 % smaller


def test_field_access_that_is_no_second_count_is_not_called_one(tmp_path: Path) -> None:
    report = report_of(changed("right = 17, of = 20", "right = 16, of = 20"), tmp_path)

    assert "counted a second time" not in report


def test_a_clear_lead_is_not_called_noise(tmp_path: Path) -> None:
    assert "is one query" not in report_of(changed("right = 22, of = 25", "right = 10, of = 25"), tmp_path)


def test_a_figure_that_is_removed_prints_not_recorded_and_meets_nothing(tmp_path: Path) -> None:
    report = report_of(changed("generation_time_s = 2.53\n", ""), tmp_path)

    assert rows(report, "Speed Benchmark (5 queries)")["Avg gen time"][2:] == ["not recorded", "Phase 26 (6-bit)"]
    assert "**No system meets every criterion: deploy none.**" in report


def test_a_document_without_claims_is_charged_with_none(tmp_path: Path) -> None:
    start, end = RUN.index("[claims]"), RUN.index("[categories]")
    report = report_of(RUN[:start] + RUN[end:], tmp_path)

    assert "15.4%" not in report
    assert "GB are GiB" not in report


def test_a_document_that_writes_gib_is_not_corrected(tmp_path: Path) -> None:
    assert "Unit: " not in report_of(changed('size_unit = "GB"', 'size_unit = "GiB"'), tmp_path)


def test_names_from_the_file_cannot_break_a_table(tmp_path: Path) -> None:
    report = report_of(changed("Phase 23 (5-bit)", "Phase | 23"), tmp_path)

    assert "| Phase \\| 23" in report


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("right = 23, of = 25", "right = 26, of = 25", "26 of 25 cannot be right"),
        ("right = 23, of = 25", "right = 23", "missing required field `of` - at `$.systems[2].validation.accuracy`"),
        ("memory_gib = 23.11", "memory_gb = 23.11", "unknown field `memory_gb` - at `$.systems[1].speed`"),
        ("memory_gib = 23.11", "memory_gib = -1", "`speed.memory_gib` of 'Phase 26 (6-bit)': -1 is no time or size"),
        ("memory_gib = 23.11", "memory_gib = nan", "`speed.memory_gib` of 'Phase 26 (6-bit)': NaN is no time or size"),
        ('baseline = "Phase 23', 'baseline = "Phase 22', "`baseline` is 'Phase 22 (5-bit)', which is no system's name"),
        ('system = "Phase 26', 'system = "Phase 27', "`claims.memory_warning.system` is 'Phase 27 (6-bit)'"),
        ('E = "Multi-step workflows"\n', "", "`validation.categories.E` of 'Phase 26 (5-bit)': `categories` lacks it"),
        ('name = "Phase 26 (6-bit)"', 'name = "Phase 26 (5-bit)"', "two have one name"),
        ('rule = "at_most"', 'rule = "no_worse_than"', "needs the trials, which are not recorded"),
        ("[source]", "[source", "Expected ']'"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_by_file_and_key(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(SuiteError) as refused:
        report_of(changed(old, new), tmp_path)

    assert str(tmp_path / "recorded" / "run.toml") in str(refused.value)
    assert complaint in str(refused.value)


def test_a_suite_without_recorded_figures_says_so(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="this suite has no recorded figures"):
        load_recorded(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded" / "run.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(SuiteError, match="is not UTF-8"):
        load_recorded(tmp_path)
