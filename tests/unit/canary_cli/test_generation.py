"""`canary suite generate` and `canary suite mutate` from the command line, on a few families."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from canary.generation_cli import generate as generate_command
from canary.generation_cli import mutate as mutate_command
from canary.programs import mutation
from canary.programs.families import generate as generation
from canary.programs.mutation import END_MARK, START_MARK
from canary.suite import load_suite
from canary.suite.lint import lint

PHASE26 = Path(__file__).parents[3] / "suites" / "phase26"


@pytest.fixture(autouse=True)
def few_families(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = tuple(family for family in generation.FAMILIES if family.key in {"know_unit", "above", "nested"})
    monkeypatch.setattr(generation, "FAMILIES", chosen)
    monkeypatch.setattr(mutation, "FAMILIES", chosen)


def generate(*arguments: str) -> Result:
    return CliRunner().invoke(generate_command, [str(PHASE26), *arguments])


def test_generated_cases_are_a_suite_of_their_own(tmp_path: Path) -> None:
    result = generate("--seed", "3", "--per-family", "4", "--to", str(tmp_path / "new"))

    assert result.exit_code == 0, result.output
    suite = load_suite(f"{tmp_path / 'new'}/", search_path=())
    assert {case.family for case in suite.cases} == {"know_unit", "above", "nested"}
    assert len(suite.cases) == 12
    assert {case.tags for case in suite.cases} == {("generated",)}
    errors = [finding.message for finding in lint(tmp_path / "new") if finding.severity == "error"]
    # Six families decide nothing under the profile of the suite that they are written beside.
    assert [message for message in errors if "is inconclusive whatever a candidate does" not in message] == []
    assert "Seed 3, 4 a family" in (tmp_path / "new" / "NOTES.md").read_text()


def test_a_seed_gives_one_digest_and_a_campaign_another(tmp_path: Path) -> None:
    choices = {
        "a": ("--seed", "3"),
        "b": ("--seed", "3"),
        "c": ("--incumbent", "0" * 64, "--campaign", "1"),
        "d": ("--incumbent", "0" * 64, "--campaign", "2"),
    }
    for name, choice in choices.items():
        assert generate(*choice, "--per-family", "1", "--to", str(tmp_path / name)).exit_code == 0
    digests = [load_suite(f"{tmp_path / name}/", search_path=()).digest for name in choices]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("arguments", [(), ("--seed", "1", "--incumbent", "a")])
def test_a_seed_or_an_incumbent_is_needed_and_not_both(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = generate(*arguments, "--to", str(tmp_path / "new"))

    assert "--seed" in str(result.exception)
    assert not (tmp_path / "new").exists()


def test_a_directory_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")

    assert "not empty" in str(generate("--seed", "1", "--to", str(tmp_path)).exception)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_grading_is_measured_and_the_table_written(tmp_path: Path) -> None:
    notes = tmp_path / "NOTES.md"
    notes.write_text(f"# Notes\n{START_MARK}\n{END_MARK}\n")

    result = CliRunner().invoke(mutate_command, ["--seed", "1", "--per-family", "1", "--write", str(notes)])

    assert result.exit_code == 0, result.output
    assert "Made by `canary suite mutate --seed 1 --per-family 1`." in notes.read_text()
    assert "| swapped comparison |" in notes.read_text()
