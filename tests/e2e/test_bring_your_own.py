"""From thirty questions in a spreadsheet to a verdict, with the commands that canary/README.md tells one to type."""

import csv
from collections.abc import Generator
from pathlib import Path

import pytest

from canary.errors import ExitCode
from tests.support.programs import RunningGateway, gateway_serving, run
from tests.support.scripted_model import write_scripted_model

CONFIGURATION = '[[deployments]]\nmodel = "tutor"\nsource = "./incumbent"\n'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    home = tmp_path_factory.mktemp("own")
    write_scripted_model(home / "incumbent", 'default_text = "It is 4."')
    write_scripted_model(home / "good", 'default_text = "4"')
    write_scripted_model(
        home / "worse", 'default_text = "4"\nanswers = [{match = "What is [123] ", text = "I do not know."}]'
    )
    (home / "gateway.toml").write_text(CONFIGURATION)
    with (home / "questions.csv").open("w", newline="", encoding="utf-8-sig") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "answer"])
        rows.writerows([f"What is {number} + {4 - number}?", "4"] for number in range(30))
    with gateway_serving(home, "--config", "gateway.toml") as serving:
        yield serving


def canary(gateway: RunningGateway, *arguments: str) -> tuple[int, str]:
    ended = run("canary", *arguments, cwd=gateway.home, environ={"GATEWAY_URL": gateway.url})
    return ended.returncode, ended.stdout + ended.stderr


def test_thirty_questions_in_a_csv_become_a_verdict(gateway: RunningGateway) -> None:
    assert canary(gateway, "suite", "import", "csv", "questions.csv", "--to", "suites/mine") == (
        ExitCode.PASSED,
        "Answers are compared by the rule `auto`.\n"
        "suites/mine: 30 cases. Judge with: canary evaluate MODEL --suite suites/mine\n",
    )
    assert canary(gateway, "suite", "lint", "mine") == (ExitCode.PASSED, "suites/mine: 0 errors, 0 warnings\n")
    status, said = canary(gateway, "evaluate", "./good", "./worse", "--suite", "mine")
    assert status == ExitCode.PASSED, said
    status, said = canary(gateway, "evaluate", "./worse", "--suite", "mine")
    assert status == ExitCode.FAILED, said
    assert "-10.0 points" in said


def test_a_new_suite_runs_as_it_is(gateway: RunningGateway) -> None:
    assert canary(gateway, "suite", "new", "suites/fresh")[0] == ExitCode.PASSED
    status, said = canary(gateway, "evaluate", "./good", "--suite", "fresh")
    assert status == ExitCode.FAILED, said
    assert "accuracy" in said


def test_the_owners_own_program_grades(gateway: RunningGateway) -> None:
    directory: Path = gateway.home / "suites" / "own"
    assert canary(gateway, "suite", "new", "suites/own")[0] == ExitCode.PASSED
    script = directory / "grade.sh"
    script.write_text(
        """#!/bin/sh\nif grep -q '"answer":"4"'; then echo '{"value": 1}'; else echo '{"value": 0}'; fi\n"""
    )
    script.chmod(0o755)
    lines = (
        f'{{"id": "own-{number}", "category": "sums", "prompt": "Say {number}.", '
        f'"grader": {{"kind": "command", "command": ["./grade.sh"]}}}}\n'
        for number in range(20)
    )
    (directory / "cases.jsonl").write_text("".join(lines))
    manifest = directory / "suite.toml"
    manifest.write_text(manifest.read_text().replace("numeric = 2", "command = 1"))
    status, said = canary(gateway, "evaluate", "./good", "--suite", "own")
    assert status == ExitCode.PASSED, said
    assert "by command" not in said
