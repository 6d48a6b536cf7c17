"""What a suite may say, how a mistake in it is reported, and what its digest covers."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from canary.errors import ExitCode, SuiteError
from canary.suite import Suite, default_search_path, find_suite, load_suite

MANIFEST = """
name = "mini"
purpose = "A test."
system = "Be brief."
max_completion_tokens = 32

[categories]
arithmetic = "Arithmetic"
facts = "Facts"
"""
SUM = {
    "id": "sum-1",
    "category": "arithmetic",
    "tags": ["demo"],
    "prompt": "What is 2 + 2?",
    "grader": {"kind": "numeric", "value": 4},
}
CAPITAL = {
    "id": "capital-1",
    "category": "facts",
    "prompt": "Capital of France?",
    "grader": {"kind": "regex", "pattern": "(?i)paris"},
    "max_completion_tokens": 8,
}

Line = Mapping[str, object] | str


def write_suite(parent: Path, *lines: Line, manifest: str = MANIFEST) -> Path:
    directory = parent / "mini"
    directory.mkdir(exist_ok=True)
    (directory / "suite.toml").write_text(manifest)
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (directory / "cases.jsonl").write_text(text)
    return directory


def load(parent: Path, *lines: Line, manifest: str = MANIFEST, tag: str | None = None) -> Suite:
    write_suite(parent, *lines, manifest=manifest)
    return load_suite("mini", search_path=[parent], tag=tag)


def test_cases_get_the_manifests_defaults(tmp_path: Path) -> None:
    suite = load(tmp_path, SUM, CAPITAL)
    capital, sum_ = suite.cases
    assert (capital.max_completion_tokens, sum_.max_completion_tokens) == (8, 32)
    assert [message.role for message in sum_.messages] == ["system", "user"]
    assert sum_.prompt == "What is 2 + 2?"


def test_a_case_keeps_its_own_system_message(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be long."}, {"role": "user", "content": "Hello?"}]
    case = {**SUM, "messages": messages, "prompt": None}
    (only,) = load(tmp_path, case).cases
    assert [message.text for message in only.messages] == ["Be long.", "Hello?"]


def test_a_tag_chooses_cases_and_leaves_the_digest_alone(tmp_path: Path) -> None:
    everything, demo = load(tmp_path, SUM, CAPITAL), load(tmp_path, SUM, CAPITAL, tag="demo")
    assert [case.id for case in demo.cases] == ["sum-1"]
    assert demo.digest == everything.digest
    assert (demo.reference().tag, everything.reference().tag) == ("demo", None)


def test_the_digest_ignores_the_order_of_keys_and_lines_and_defaults_written_out(tmp_path: Path) -> None:
    digest = load(tmp_path, SUM, CAPITAL).digest
    rewritten = {**dict(reversed(list(SUM.items()))), "max_completion_tokens": 32}
    assert load(tmp_path, CAPITAL, "", rewritten).digest == digest


@pytest.mark.parametrize(
    ("line", "manifest"),
    [
        ({**SUM, "prompt": "What is 2 + 3?"}, MANIFEST),
        ({**SUM, "grader": {"kind": "numeric", "value": 5}}, MANIFEST),
        ({**SUM, "grader": {"kind": "text", "answers": ["4"]}}, MANIFEST),
        ({**SUM, "category": "facts"}, MANIFEST),
        ({**SUM, "max_completion_tokens": 33}, MANIFEST),
        ({**SUM, "tags": []}, MANIFEST),
        (SUM, MANIFEST.replace("Be brief.", "Be long.")),
        (SUM, "temperature = 0.5\n" + MANIFEST),
        (SUM, "min_pairs = 11\n" + MANIFEST),
        (SUM, "seed = 1\n" + MANIFEST),
    ],
)
def test_the_digest_changes_with_whatever_changes_a_score(tmp_path: Path, line: Line, manifest: str) -> None:
    assert load(tmp_path, line, manifest=manifest).digest != load(tmp_path, SUM).digest


def test_the_digest_changes_with_a_graders_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load(tmp_path, SUM)
    case_digest = suite.cases[0].digest
    monkeypatch.setattr("canary.grading.numeric.Numeric.version", 2)
    assert load(tmp_path, SUM).digest != suite.digest
    assert load(tmp_path, SUM).cases[0].digest != case_digest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({**SUM, "colour": "red"}, "unknown field `colour`"),
        ({**SUM, "category": "art"}, "unknown category 'art'; the suite has: arithmetic, facts"),
        ({**SUM, "grader": {"kind": "vibes"}}, "'vibes' - at `$.grader.kind` (graders: exact, regex, numeric, text)"),
        ({**SUM, "grader": {"kind": "regex", "pattern": "(a"}}, "missing )"),
        ({**SUM, "grader": {"kind": "regex", "pattern": "(?!a)"}}, "not supported by RE2"),
        ({**SUM, "grader": {"kind": "numeric", "value": 1, "near": 2}}, "unknown field `near`"),
        ({**SUM, "prompt": ""}, "`$.prompt`"),
        ({**SUM, "messages": []}, "both `prompt` and `messages`"),
        ({key: SUM[key] for key in SUM if key != "prompt"}, "needs a `prompt`, or `messages`"),
        ({**SUM, "max_completion_tokens": 0}, "`$.max_completion_tokens`"),
        ({**SUM, "id": "capital-1"}, "the id 'capital-1' is that of line 1 already"),
        ('{"id": "sum-1",', "cannot be parsed"),
        ("[]", "Expected `object`, got `array`"),
    ],
)
def test_a_mistake_in_a_case_names_the_file_the_line_and_the_matter(tmp_path: Path, line: Line, words: str) -> None:
    with pytest.raises(SuiteError) as raised:
        load(tmp_path, CAPITAL, line)
    assert str(raised.value).startswith(f"{tmp_path / 'mini' / 'cases.jsonl'}, line 2: ")
    assert words in str(raised.value)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    cases = write_suite(tmp_path, SUM) / "cases.jsonl"
    cases.write_bytes(cases.read_bytes() + b'{"id": "\xff"}\n')
    with pytest.raises(SuiteError, match=r"cases\.jsonl, line 2: not UTF-8"):
        load_suite("mini", search_path=[tmp_path])


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("colour = 'red'\n" + MANIFEST, "unknown field `colour`"),
        ("name = \n", "cannot be parsed: Invalid value (at line 1"),
        ('name = "mini"\n', "missing required field"),
        (MANIFEST.partition("[categories]")[0] + "[categories]\n", "`categories` is empty"),
        ("min_pairs = 0\n" + MANIFEST, "`min_pairs` must be at least 1"),
        ("temperature = -1.0\n" + MANIFEST, "`temperature` must be at least 0"),
        ("measures = ['beauty']\n" + MANIFEST, "'beauty'"),
        (
            MANIFEST + 2 * "[[criteria]]\nname='x'\nmetric='accuracy'\nrule='at_least'\nbound=0.5\n",
            "2 criteria are named 'x'",
        ),
        (
            MANIFEST + "[[criteria]]\nname='x'\nmetric='accuracy'\nrule='at_least'\nbound=0.5\ncategory='art'\n",
            "names the category 'art'",
        ),
        (
            MANIFEST + "[[criteria]]\nname='x'\nmetric='disk_bytes'\nrule='at_most'\nbound=5\ncategory='facts'\n",
            "disk_bytes is the engine's, and has no categories",
        ),
    ],
)
def test_a_mistake_in_the_manifest_names_the_file_and_the_matter(tmp_path: Path, manifest: str, words: str) -> None:
    with pytest.raises(SuiteError) as raised:
        load(tmp_path, SUM, manifest=manifest)
    assert str(raised.value).startswith(f"{tmp_path / 'mini' / 'suite.toml'}: ")
    assert words in str(raised.value)


def test_a_manifest_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (write_suite(tmp_path, SUM) / "suite.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(SuiteError, match=r"suite\.toml is not UTF-8"):
        load_suite("mini", search_path=[tmp_path])


@pytest.mark.parametrize("missing", ["suite.toml", "cases.jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (write_suite(tmp_path, SUM) / missing).unlink()
    with pytest.raises(SuiteError, match=f"{missing}: No such file"):
        load_suite("mini", search_path=[tmp_path])


def test_a_suite_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="holds no case"):
        load(tmp_path, "")


def test_a_tag_that_matches_nothing_is_refused_with_the_tags_there_are(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no case has the tag 'nightly'; there are: demo"):
        load(tmp_path, SUM, CAPITAL, tag="nightly")


def test_an_unknown_name_is_refused_with_the_places_searched(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no suite is named 'other': looked in") as raised:
        load_suite("other", search_path=[tmp_path])
    assert raised.value.exit_code is ExitCode.USAGE


def test_a_path_is_taken_as_it_is_and_a_name_is_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_suite(tmp_path, SUM)
    monkeypatch.chdir(tmp_path)
    assert find_suite(str(directory), []) == directory
    assert find_suite("./mini", []) == Path("mini")
    with pytest.raises(SuiteError):
        find_suite("mini", [])
    with pytest.raises(SuiteError, match="no such directory"):
        find_suite("./other", [])


def test_the_working_directory_is_searched_before_the_state_directory() -> None:
    places = default_search_path({"GATEWAY__STATE_DIR": "/state"})
    assert places[:2] == (Path("suites"), Path("/state/suites"))
    assert default_search_path({})[1].parts[-2:] == ("_data", "suites")
