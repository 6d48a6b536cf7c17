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

CRITERION = "[[criteria]]\nname='{}'\nmetric='accuracy'\nrule='at_least'\nbound=0.5\n"
LOOP = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}
DEEP = json.loads("[" * 80 + "]" * 80)

NESTED = json.dumps(SUM)[:-1] + ', "grader": {"kind": "json_equal", "value": ' + "[" * 100_000

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
        ({**SUM, "family": "sums"}, MANIFEST),
        (SUM, "measures = ['field_access']\n" + MANIFEST),
        (SUM, MANIFEST + 'art = "Art"\n'),
        (SUM, MANIFEST + CRITERION.format("x")),
        (SUM, "temperature = 0.5\n" + MANIFEST),
        (SUM, "min_pairs = 11\n" + MANIFEST),
        (SUM, "seed = 1\n" + MANIFEST),
        (SUM, "template_arguments = {enable_thinking = false}\n" + MANIFEST),
        (SUM, "protocol = {warm_up_count = 2}\n" + MANIFEST),
        (SUM, "protocol = {prefix_cache = true}\n" + MANIFEST),
        (SUM, "protocol = {latency = {}}\n" + MANIFEST),
        (SUM, "protocol = {memory = {}}\n" + MANIFEST),
    ],
)
def test_the_digest_changes_with_whatever_changes_a_score(tmp_path: Path, line: Line, manifest: str) -> None:
    assert load(tmp_path, line, manifest=manifest).digest != load(tmp_path, SUM).digest


def test_a_suite_that_names_nothing_new_has_the_digest_from_before_there_was_more(tmp_path: Path) -> None:
    manifest = MANIFEST + "[protocol]\nwarm_up_count = 2\n" + CRITERION.format("x")
    assert load(tmp_path, SUM, manifest=manifest).digest == (
        "d6476450c3a785962a355573f2901fa9f22a9798520ed59e5a94bf58feb36cf7"
    )
    for newer in ("tag = 'demo'\n", "category = 'facts'\ntag = 'demo'\n"):
        assert load(tmp_path, SUM, manifest=manifest + newer).digest != load(tmp_path, SUM, manifest=manifest).digest


def test_the_digest_ignores_formatting_and_words_that_score_nothing(tmp_path: Path) -> None:
    digest = load(tmp_path, SUM, CAPITAL).digest
    other = MANIFEST.replace("A test.", "Another purpose.").replace('"Facts"', '"General knowledge"')
    other += "# a remark\n[graders]\nnumeric = 2\n[protocol]\nwarm_up_count = 1\nprefix_cache = false\n"
    other += "[template_arguments]\n"
    assert load(tmp_path, {**SUM, "family": "sum-1", "origin": "imported"}, CAPITAL, manifest=other).digest == digest
    two = CRITERION.format("x"), CRITERION.format("y")
    assert (
        load(tmp_path, SUM, manifest=MANIFEST + "".join(two)).digest
        == load(tmp_path, SUM, manifest=MANIFEST + "".join(reversed(two))).digest
    )


def test_the_digest_ignores_carriage_returns_and_a_byte_order_mark(tmp_path: Path) -> None:
    digest = load(tmp_path, SUM, CAPITAL).digest
    for name in ("suite.toml", "cases.jsonl"):
        path = tmp_path / "mini" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_suite("mini", search_path=[tmp_path]).digest == digest


def test_the_digest_is_untouched_by_a_grader_that_the_suite_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = load(tmp_path, SUM).digest
    monkeypatch.setattr("canary.grading.text.Text.version", 2)
    assert load(tmp_path, SUM).digest == digest


def test_a_case_without_a_family_is_its_own(tmp_path: Path) -> None:
    own, shared = load(tmp_path, SUM, {**CAPITAL, "family": "capitals", "origin": "generated"}).cases[::-1]
    assert (own.family, shared.family) == ("sum-1", "capitals")


def test_a_line_without_end_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    cases = write_suite(tmp_path, SUM) / "cases.jsonl"
    with cases.open("ab") as file:
        file.truncate(2 * 1024**3)  # sparse: two gibibytes of zeros in one line
    with pytest.raises(SuiteError, match=r"cases\.jsonl, line 2: longer than 1048576 bytes"):
        load_suite("mini", search_path=[tmp_path])


def test_a_manifest_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"suite\.toml, line \d+: the file is larger than 65536 bytes"):
        load(tmp_path, SUM, manifest=MANIFEST + "# a remark\n" * 10_000)


def test_a_manifest_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"suite\.toml.*: "):
        load(tmp_path, SUM, manifest=MANIFEST + "x = " + "[" * 5000 + "]" * 5000 + "\n")


def test_the_digest_changes_with_a_graders_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load(tmp_path, SUM)
    case_digest = suite.cases[0].digest
    monkeypatch.setattr("canary.grading.numeric.Numeric.version", 3)
    assert load(tmp_path, SUM).digest != suite.digest
    assert load(tmp_path, SUM).cases[0].digest != case_digest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({**SUM, "colour": "red"}, "unknown field `colour`"),
        ({**SUM, "category": "art"}, "unknown category 'art'; the suite has: arithmetic, facts"),
        ({**SUM, "grader": {"kind": "vibes"}}, "'vibes' - at `$.grader.kind` (graders: exact, regex, numeric, text,"),
        ({**SUM, "grader": {"kind": "regex", "pattern": "(a"}}, "missing )"),
        ({**SUM, "grader": {"kind": "regex", "pattern": "(?!a)"}}, "not supported by RE2"),
        ({**SUM, "grader": {"kind": "regex", "pattern": r"(a)\1"}}, "not supported by RE2"),
        ({**SUM, "grader": {"kind": "json_schema", "schema": LOOP}}, "refers to itself without end: #/$defs/a"),
        ({**SUM, "origin": "generated"}, "a generated case needs a `family`"),
        ({**SUM, "origin": "stolen"}, "'stolen'"),
        ({**SUM, "family": ""}, "`$.family`"),
        (NESTED, "nested too deeply"),
        ({**SUM, "grader": {"kind": "json_equal", "value": DEEP}}, "nested deeper than 64 levels"),
        ("\ufeff" + json.dumps(SUM), "cannot be parsed"),
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
    ("manifest", "line", "words"),
    [
        ("colour = 'red'\n" + MANIFEST, 1, "unknown field `colour`"),
        ("name = \n", 1, "cannot be parsed: Invalid value"),
        (MANIFEST + "\n[[criteria]]\n# a remark\nname = 'x'\nmetric = 'beauty'\n", 14, "'beauty'"),
        (MANIFEST + "\n[[criteria]]\nname = 'x'\n", 11, "missing required field `metric`"),
        (MANIFEST + CRITERION.format("x") + "color = 1\n", 15, "unknown field `color`"),
        (MANIFEST.partition("[categories]")[0] + "[categories]\n", 7, "length >= 1"),
        (MANIFEST + "'' = 'Nameless'\n", 7, "length >= 1"),
        ("min_pairs = 0\n" + MANIFEST, 1, "`int` >= 1"),
        ("temperature = -1.0\n" + MANIFEST, 1, "`float` >= 0"),
        (MANIFEST + "[protocol]\nwarm_up_count = -1\n", 11, "`int` >= 0"),
        (MANIFEST + "[protocol]\nconcurrency = 4\n", 11, "unknown field `concurrency`"),
        (MANIFEST + "[template_arguments]\nthinking = [1]\n", 10, "got `array`"),
        ("# first\nmeasures = [\n  'accuracy',\n  'beauty',\n]\n" + MANIFEST, 2, "'beauty'"),
        (MANIFEST.replace('"Be brief."', '"""\n# no comment\n"""') + "x = 3\n", 9, "Expected `str`, got `int`"),
        (MANIFEST + 2 * CRITERION.format("x"), 10, "2 criteria are named 'x'"),
        (MANIFEST + CRITERION.format("x") + "category='art'\n", 15, "names the category 'art'"),
        (
            MANIFEST + "[[criteria]]\nname='x'\nmetric='disk_bytes'\nrule='at_most'\nbound=5\ncategory='facts'\n",
            15,
            "disk_bytes is the engine's, and has no categories",
        ),
        (
            MANIFEST + "[graders]\nnumeric = 7\n",
            11,
            "no version 7 of the grader 'numeric' any more; the versions that exist: 2",
        ),
        (MANIFEST + "[graders]\nnumeric = 2\nvibes = 1\n", 12, "there is no grader 'vibes'; there are: exact,"),
    ],
)
def test_a_mistake_in_the_manifest_names_the_file_the_line_and_the_matter(
    tmp_path: Path, manifest: str, line: int, words: str
) -> None:
    with pytest.raises(SuiteError) as raised:
        load(tmp_path, SUM, manifest=manifest)
    assert str(raised.value).startswith(f"{tmp_path / 'mini' / 'suite.toml'}, line {line}: ")
    assert words in str(raised.value)


def test_what_the_whole_manifest_lacks_has_no_line(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"suite\.toml: .*missing required field `purpose`"):
        load(tmp_path, SUM, manifest='name = "mini"\n')


def test_pinned_versions_that_exist_change_nothing(tmp_path: Path) -> None:
    pinned = load(tmp_path, SUM, manifest=MANIFEST + "[graders]\nnumeric = 2\n")
    assert pinned.digest == load(tmp_path, SUM).digest


def test_a_manifest_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (write_suite(tmp_path, SUM) / "suite.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(SuiteError, match=r"suite\.toml, line 1: not UTF-8"):
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
