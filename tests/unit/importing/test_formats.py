"""Each format's small example becomes a suite that reads, and grades right and wrong answers as the tool would."""

from pathlib import Path

import pytest

from canary.importing import FORMATS, ImportOptions, import_suite
from canary.importing.answers import AnswerRule
from canary.suite import Case, load_suite
from gateway.contracts.evaluations import Grade

DATA = Path(__file__).parents[2] / "support" / "imports"


def imported(tmp_path: Path, form: str, source: str, **options: object) -> dict[str, Case]:
    """Return the cases by id, read back from the suite that was written."""
    directory = tmp_path / "mine"
    import_suite(DATA / source, directory, form=form, options=ImportOptions(**options))  # pyright: ignore[reportArgumentType] - the tests' own
    return {case.id: case for case in load_suite(str(directory), search_path=[]).cases}


def value_of(case: Case, answer: str) -> float:
    grade = case.grader.grade(answer)
    assert isinstance(grade, Grade)
    return grade.value


def sent(case: Case) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in case.messages]


def test_every_format_has_an_example_here() -> None:
    assert set(FORMATS) == {"csv", "openai-evals", "promptfoo", "inspect", "bfcl"}


def test_csv(tmp_path: Path) -> None:
    cases = imported(tmp_path, "csv", "questions.csv")
    assert {case.id: case.category for case in cases.values()} == {"q1": "geography", "q2": "nature", "q3": "reading"}
    assert sent(cases["q3"]) == [("user", 'She said "thank you".\nWhat did she say?')]
    assert [value_of(cases["q1"], answer) for answer in ("It is Paris.", "paris", "Parisian", "Rome")] == [1, 1, 0, 0]
    assert [value_of(cases["q2"], answer) for answer in ("It has 8 legs.", "18", "eight")] == [1, 0, 0]


def test_csv_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    cases = imported(tmp_path, "csv", "spreadsheet.csv")
    assert [sent(case) for case in cases.values()] == [[("user", "What is 2 + 2?")], [("user", 'Say "yes".')]]


@pytest.mark.parametrize(
    ("rule", "grades"),
    [
        (AnswerRule.EXACT, (1, 0, 0, 0)),
        (AnswerRule.TEXT, (1, 1, 0, 0)),
        (AnswerRule.STARTS_WITH, (1, 0, 1, 0)),
        (AnswerRule.INCLUDES, (1, 1, 1, 0)),
    ],
)
def test_the_rule_says_how_answers_are_compared(tmp_path: Path, rule: AnswerRule, grades: tuple[int, ...]) -> None:
    cases = imported(tmp_path, "csv", "questions.csv", rule=rule)
    assert tuple(value_of(cases["q1"], answer) for answer in ("Paris", "paris.", "Paris, of course", "Rome")) == grades


def test_openai_evals(tmp_path: Path) -> None:
    cases = imported(tmp_path, "openai-evals", "openai_evals.jsonl")
    assert sent(cases["sample-0003"]) == [("user", "The first US president was ")]
    assert [message.name for message in cases["sample-0002"].messages] == [
        None,
        "example_user",
        "example_assistant",
        None,
    ]
    assert [value_of(cases["sample-0002"], answer) for answer in ("Yes, it is.", "yes", "Oh yes")] == [1, 1, 0]


def test_promptfoo(tmp_path: Path) -> None:
    cases = imported(tmp_path, "promptfoo", "promptfooconfig.yaml")
    assert list(cases) == [f"test-{test:04}-prompt-{prompt}" for test in (1, 2, 3) for prompt in (1, 2)]
    assert {case.family for case in cases.values()} == {"test-0001", "test-0002", "test-0003"}
    assert sent(cases["test-0001-prompt-1"]) == [("user", 'Translate to French: Hello "world"')]
    assert sent(cases["test-0001-prompt-2"]) == [("system", "You translate."), ("user", 'Hello "world" in French?')]
    greeting, structure, start = (cases[f"test-{number:04}-prompt-1"] for number in (1, 2, 3))
    assert [
        value_of(greeting, answer) for answer in ("Bonjour, monde", "Salut monde", "Bonjour", "Bonjour monde, as an ai")
    ] == [1, 1, 0, 0]
    assert [value_of(structure, answer) for answer in ('{"n": 3}', '{"n": 4}', "[3]", "As an AI, no")] == [1, 1, 0, 0]
    assert [value_of(start, answer) for answer in ("French it is", "Not French")] == [1, 0]


@pytest.mark.parametrize("source", ["inspect.json", "inspect.jsonl", "questions.csv"])
def test_inspect_reads_each_of_its_file_types(tmp_path: Path, source: str) -> None:
    assert len(imported(tmp_path, "inspect", source, ignore=frozenset({"category"}))) == 3


def test_inspect(tmp_path: Path) -> None:
    cases = imported(tmp_path, "inspect", "inspect.json")
    assert set(cases) == {"norway", "sample-0002", "3"}
    assert value_of(cases["norway"], "The capital is Oslo.") == 1
    assert sent(cases["sample-0002"]) == [("system", "Be brief."), ("user", "2 + 2?")]
    question = sent(cases["3"])[0][1]
    assert "one of A,B,C" in question
    assert question.endswith("Which is a fruit?\n\nA) Stone\nB) Apple\nC) River")
    assert [value_of(cases["3"], answer) for answer in ("ANSWER: B", "answer: (b)", "ANSWER: BC", "B")] == [1, 1, 0, 0]


def test_bfcl(tmp_path: Path) -> None:
    cases = imported(tmp_path, "bfcl", "bfcl_questions.json", answers=DATA / "bfcl_answers.json")
    weather = '{{"name": "get_current_weather", "arguments": {{"location": "{}"}}}}'.format
    assert {case.category for case in cases.values()} == {
        "simple_python", "live_parallel", "live_simple", "irrelevance", "live_relevance"
    }  # fmt: skip
    system = sent(cases["live_parallel_1-0-1"])[0][1]
    assert system.startswith("You are a home assistant.\n\nYou can call the functions below.")
    assert '"name":"air.set"' in system
    assert [value_of(cases["simple_python_0"], weather(city)) for city in ("riga latvia", "Riga", "Oslo")] == [1, 1, 0]
    both = f"[{weather('Oslo')}, {weather('Riga')}]"
    assert [value_of(cases["live_parallel_1-0-1"], answer) for answer in (both, weather("Riga"))] == [1, 0]
    body = '{{"name": "air.set", "arguments": {{"body": {}}}}}'.format
    assert [
        value_of(cases["live_simple_40-17-0"], body(each))
        for each in ('{"mode": "cool"}', '{"mode": "auto", "target": 24}', '{"mode": "cool", "target": 25}', "{}")
    ] == [1, 1, 0, 0]
    assert [value_of(cases["irrelevance_3"], answer) for answer in (weather("Riga"), "I cannot.")] == [0, 1]
    assert [value_of(cases["live_relevance_2-2-0"], answer) for answer in (weather("X"), "I cannot.")] == [1, 0]
