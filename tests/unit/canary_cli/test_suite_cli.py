"""`canary suite`, command by command: what it prints, and its exit status."""

from pathlib import Path

import pytest

from canary import cli
from canary.errors import ExitCode

DATA = Path(__file__).parents[2] / "support" / "imports"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: ExitCode = ExitCode.PASSED) -> str:
    assert cli.run(["suite", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out if code is ExitCode.PASSED else captured.err or captured.out


def test_a_new_suite_is_found_by_name_and_lints_clean(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "new", "suites/mine")
    assert said(capsys, "lint", "mine") == "suites/mine: 0 errors, 0 warnings\n"
    assert "cases      24, of 24 families" in said(capsys, "show", "mine")


def test_lint_ends_with_2_where_there_is_an_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "new", "mine")
    (home / "mine" / "cases.jsonl").write_text("{\n[]\n")
    found = said(capsys, "lint", "./mine", code=ExitCode.USAGE)
    assert found.splitlines()[0].startswith("error: mine/cases.jsonl, line 1: ")
    assert found.splitlines()[-1] == "mine: 2 errors, 0 warnings"


def test_show_prints_one_case_as_it_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "new", "mine")
    assert said(capsys, "show", "./mine", "--case", "sum-01").splitlines() == [
        "sum-01: category sums, family sum-01, tags none",
        "[system]",
        "Answer with the number only.",
        "[user]",
        "What is 1 plus 2?",
        "[expected, by numeric 2]",
        "the number 3 (last in the answer)",
    ]
    assert "has no case 'x'" in said(capsys, "show", "./mine", "--case", "x", code=ExitCode.USAGE)


def test_digest_and_diff_agree(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "new", "a/mine")
    said(capsys, "new", "b/mine")
    assert said(capsys, "digest", "a/mine") == said(capsys, "digest", "b/mine")
    assert said(capsys, "diff", "a/mine", "b/mine") == "nothing that changes a score\n"
    manifest = home / "b" / "mine" / "suite.toml"
    manifest.write_text("seed = 4\n" + manifest.read_text())
    assert said(capsys, "digest", "a/mine") != said(capsys, "digest", "b/mine")
    assert said(capsys, "diff", "a/mine", "b/mine") == "~ seed: 0 -> 4\n"


def test_import_writes_a_suite_and_lints_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(
        capsys, "import", "csv", str(DATA / "questions.csv"), "--to", "mine", "--rule", "text", code=ExitCode.USAGE
    )
    assert found.splitlines()[-1] == "mine: 3 cases. Judge with: canary evaluate MODEL --suite ./mine"
    assert "`min_pairs` is 10 and there are 3 cases" in found


def test_import_says_what_it_does_not_support(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "q.csv").write_text("question,answer,mood\n")
    found = said(capsys, "import", "csv", "q.csv", "--to", "mine", code=ExitCode.USAGE)
    assert found.startswith("canary: q.csv, line 1: the column 'mood' is not known")
    assert not (home / "mine").exists()


@pytest.mark.parametrize("command", [["new", "mine"], ["import", "csv", "q.csv", "--to", "mine"], ["schema", "mine"]])
def test_what_cannot_be_written_is_a_usage_error(
    home: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (home / "mine").write_text("a file, and no directory")
    (home / "q.csv").write_text("question,answer\nWhat?,x\n")
    assert "cannot be written" in said(capsys, *command, code=ExitCode.USAGE)


def test_schema_writes_all_schemas(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "schema", "out").splitlines() == [
        "out/suite.schema.json",
        "out/tools.schema.json",
        "out/case.schema.json",
    ]
    assert len(list((home / "out").iterdir())) == 3


@pytest.mark.parametrize("command", ["lint", "show", "digest"])
def test_a_suite_that_is_not_there_is_a_usage_error(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert "no suite is named 'gone'" in said(capsys, command, "gone", code=ExitCode.USAGE)
