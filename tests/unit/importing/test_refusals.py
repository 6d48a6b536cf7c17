"""What an importer does not support is refused by name, with the file and the line, and nothing is written."""

# ruff: noqa: E501 - a mistake and its complaint stand on one line

from pathlib import Path

import pytest

from canary.errors import SuiteError, UsageError
from canary.importing import ImportOptions, import_suite

HUGE = "[" * 100_000
USER = '[{"role": "user", "content": "?"}]'
TOP = "prompts: ['{{a}}?']\n"
TEST = "tests:\n  - vars: {a: 1}\n    assert:\n"


def refusal(tmp_path: Path, form: str, name: str, content: str | bytes, **options: object) -> str:
    source = tmp_path / name
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SuiteError) as raised:
        import_suite(source, tmp_path / "mine", form=form, options=ImportOptions(**options))  # pyright: ignore[reportArgumentType] - the tests' own
    assert not (tmp_path / "mine").exists()
    assert str(raised.value).startswith(str(source))
    return str(raised.value).removeprefix(str(source))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ": is empty: its first line must name the columns"),
        ("question,answer\n", ": holds no case"),
        ("question,colour\n", ", line 1: the column 'colour' is not known"),
        ("question\nWhat?\n", ", line 1: no column is named `answer`"),
        ("question,prompt,answer\n", ", line 1: two columns are the question"),
        ('question,answer\n"a\nb",c\nd\n', ", line 4: has 1 fields; the first line names 2 columns"),
        ("question,answer\nWhat?,\n", ", line 2: has no expected answer, or a blank one"),
        ("question,answer\n  ,x\n", ", line 2: the question is blank"),
        ('question,answer\n"a,b\n', ", line 2: is no CSV: unexpected end of data"),
        ("id,question,answer\nx,a,b\nx,c,d\n", ": the id 'x' is given more than once"),
        (b"question,answer\n\xff,x\n", ", line 2: not UTF-8"),
        (b"question,answer\n" + b"x" * 2_000_000, ", line 2: longer than 1048576 bytes"),
        ("question,answer\n" + "x" * 200_000 + ",y\n", ", line 2: is no CSV: field larger than field limit"),
    ],
)
def test_csv(tmp_path: Path, content: str | bytes, words: str) -> None:
    assert refusal(tmp_path, "csv", "q.csv", content).startswith(words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f'{{"input": {USER}}}', ", line 1: not supported: Object missing required field `ideal`"),
        (f'\n{{"input": {USER}, "ideal": "x", "difficulty": 3}}', ", line 2: not supported: Object contains unknown field `difficulty`"),
        ('{"input": [{"role": "system", "content": "?"}], "ideal": "x"}', ", line 1: not supported: `input` whose last"),
        ('{"input": [{"role": "user", "content": [{"type": "image_url"}]}], "ideal": "x"}', ", line 1: not supported:"),
        ('{"input": "?", "ideal": []}', ", line 1: has no expected answer"),
        (HUGE, ", line 1: nested too deeply"),
        ("{", ", line 1: cannot be parsed"),
    ],
)  # fmt: skip
def test_openai_evals(tmp_path: Path, content: str, words: str) -> None:
    assert refusal(tmp_path, "openai-evals", "s.jsonl", content).startswith(words)


def test_an_unknown_field_can_be_ignored(tmp_path: Path) -> None:
    source = tmp_path / "s.jsonl"
    source.write_text('{"input": "?", "ideal": "x", "difficulty": 3}\n')
    options = ImportOptions(ignore=frozenset({"difficulty"}))
    assert len(import_suite(source, tmp_path / "mine", form="openai-evals", options=options).cases) == 1
    assert "Left out on request: difficulty." in (tmp_path / "mine" / "NOTES.md").read_text()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.json", '{"input": 1}', ": is no JSON array"),
        ("d.json", '[\n {"input": "?", "target": "x"},\n {"input": "?", "target": "x", "sandbox": "docker"}]', ", line 3: not supported: Object contains unknown field `sandbox`"),
        ("d.json", '[{"input": "?", "target": "x"}\n {}]', ", line 2: cannot be parsed: expected `,` or `]`"),
        ("d.json", '[\n{"input": }]', ", line 2: cannot be parsed"),
        ("d.json", HUGE, ", line 1: nested too deeply"),
        ("d.json", "[", ", line 2: cannot be parsed"),
        ("d.jsonl", '{"input": "?", "target": "C", "choices": ["a", "b"]}', ", line 1: not supported: `choices` whose"),
        ("d.jsonl", '{"input": "?", "target": ["A", "B"], "choices": ["a", "b"]}', ", line 1: not supported: `choices`"),
        ("d.parquet", "", ": not supported: a dataset whose name ends in '.parquet'"),
    ],
)  # fmt: skip
def test_inspect(tmp_path: Path, name: str, content: str, words: str) -> None:
    assert refusal(tmp_path, "inspect", name, content).startswith(words)


def bfcl(case_id: str, question: str = f"[{USER}]") -> str:
    return f'{{"id": "{case_id}", "question": {question}, "function": []}}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bfcl("simple_python_0"), ", line 1: there is no answer for 'simple_python_0': give BFCL's file"),
        (bfcl("simple_java_0"), ", line 1: not supported: the category 'simple_java' (java)"),
        (bfcl("javascript_0"), ", line 1: not supported: the category 'javascript' (javascript)"),
        (bfcl("multi_turn_base_0"), ", line 1: not supported: the category 'multi_turn_base' (multi_turn)"),
        (bfcl("memory_0"), ", line 1: not supported: the category 'memory' (memory)"),
        (bfcl("irrelevance_0", f"[{USER}, {USER}]"), ", line 1: not supported: more turns than one"),
        (bfcl("nonsense"), ", line 1: the id 'nonsense' does not name its category and number"),
        ('{"id": "x_1", "question": [], "function": [], "initial_config": {}}', ", line 1: not supported: Object contains unknown field `initial_config`"),
    ],
)  # fmt: skip
def test_bfcl(tmp_path: Path, content: str, words: str) -> None:
    assert refusal(tmp_path, "bfcl", "q.json", content).startswith(words)


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ('[{"f": {"x": [1]}, "g": {}}]', "must name one function"),
        ("[]", "at least one call"),
        ('[{"f": {"x": [{"y": 3}]}}]', "the key 'y' of an accepted object has no list of values"),
        (
            '[{"f": {"x": [{' + ",".join(f'"{key}": [1, 2, 3]' for key in "abcdefghijklmnop") + "}]}}]",
            "an argument with more than 256 accepted values",
        ),
    ],
)
def test_bfcl_answers_that_cannot_be_used_name_their_own_file(tmp_path: Path, truth: str, words: str) -> None:
    answers, questions = tmp_path / "a.json", tmp_path / "q.json"
    answers.write_text(f'{{"id": "simple_python_0", "ground_truth": {truth}}}\n')
    questions.write_text(bfcl("simple_python_0"))
    with pytest.raises(SuiteError) as raised:
        import_suite(questions, tmp_path / "mine", form="bfcl", options=ImportOptions(answers=answers))
    assert str(raised.value).startswith(f"{answers}, line 1: ")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ": is empty"),
        ("- 1\n", ", line 1: the file must be a mapping"),
        ("prompts: [a]\n", ": has no `tests`"),
        (TOP + "tests: file://tests.csv\n", ", line 2: not supported: `tests` that is no list in this file"),
        (TOP + "scenarios: []\ntests: []\n", ", line 2: not supported: 'scenarios' of the file"),
        ("prompts: [file://p.txt]\ntests: []\n", ", line 1: not supported: a prompt that is not written here"),
        (TOP + "tests: []\n", ": holds no case"),
        (TOP + TEST + "      - type: llm-rubric\n        value: nice\n", ", line 5: not supported: the assertion 'llm-rubric'"),
        (TOP + TEST + "      - type: not-javascript\n        value: x\n", ", line 5: not supported: the assertion 'not-javascript'"),
        (TOP + TEST + "      - type: contains\n        value: a\n        transform: x\n", ", line 7: not supported: 'transform' of an assertion"),
        (TOP + TEST + "      - type: contains\n        value: file://a.txt\n", ", line 5: not supported: a value from a file"),
        (TOP + TEST + "      - type: regex\n        value: '(?=a)'\n", ", line 5: `pattern` is invalid or not supported by RE2"),
        (TOP + TEST + "      - type: contains\n        value: '{{b}}'\n", ", line 5: the variable 'b' has no value"),
        (TOP + TEST + "      - type: contains\n        value: a\n        weight: heavy\n", ", line 5: the weight 'heavy' is no number"),
        (TOP + TEST.replace("1", "[1, 2]") + "      - type: equals\n        value: 1\n", ", line 3: not supported: the variable 'a' is a list"),
        (TOP + "tests:\n  - vars: {a: 1}\n", ", line 3: the test asserts nothing"),
        (TOP.replace("a}", "a|upper}") + TEST + "      - type: equals\n        value: 1\n", ", line 3: not supported: a template with more"),
        (TOP + "tests: [*nothing]\n", ", line 2: is no YAML: found undefined alias"),
        (TOP + "tests: &a [*a]\n", ": is no YAML: found recursive anchor|, line 2: an alias contains itself"),
        (TOP + "tests:\n  - <<: {a: 1}\n", ", line 3: not supported: the YAML tag tag:yaml.org,2002:merge"),
        (TOP + "tests:\n  - vars: {a: !!int x}\n", ", line 3: is no YAML"),
        (TOP + "a: 1\na: 2\n", ", line 3: the key 'a' is given twice"),
        (TOP + "tests: [!!python/object:os.system {}]\n", ", line 2: not supported: the YAML tag tag:yaml.org,2002:python/object:os.system"),
        (TOP + "tests: " + "[" * 1000, ": nested too deeply"),
        ("a: &a [1, 1]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)), "an alias contains itself, or stands for too much"),
        ("\x00", ": is no YAML"),
    ],
)  # fmt: skip
def test_promptfoo(tmp_path: Path, content: str, words: str) -> None:
    found = refusal(tmp_path, "promptfoo", "promptfooconfig.yaml", content)
    assert any(each in found for each in words.split("|", 1))


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "q.csv"
    source.write_text("question,answer\nWhat?,x\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "keep").touch()
    with pytest.raises(UsageError, match="is not empty"):
        import_suite(source, tmp_path / "mine", form="csv", options=ImportOptions())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["keep"]


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nothing\.csv: No such file"):
        import_suite(tmp_path / "nothing.csv", tmp_path / "mine", form="csv", options=ImportOptions())
