"""Program cases in a suite: their tools, their place in the prompt, and every mistake with its file and line."""

import json
from pathlib import Path

import pytest

from canary.errors import SuiteError
from canary.suite import Suite, load_suite
from canary.suite.lint import lint

MANIFEST = """name = "mini"
purpose = "A test."
system = "Write a program with these:\\n{tools}"
measures = ["field_access"]
[categories]
C = "Field access"
"""
TOOLS = """# the catalogue
[tools.get_order]
description = "Gets an order."
arguments = {order_id = "str"}
returns = {total = "float", tax = "float"}
"""
WORLDS = [{"get_order": {"*": {"total": total, "tax": 1.0}}} for total in (1.5, 2.5)]
GRADER = {
    "kind": "program",
    "tools": ["get_order"],
    "oracle": "result = get_order(order_id='O9')['total']",
    "fields": ["get_order.total"],
    "worlds": WORLDS,
}
CASE = {"id": "C-1", "category": "C", "prompt": "What is the total of order O9?", "grader": GRADER}


def load(directory: Path, *, case: object = CASE, manifest: str = MANIFEST, tools: str | None = TOOLS) -> Suite:
    (directory / "suite.toml").write_text(manifest)
    (directory / "cases.jsonl").write_text("\n" + json.dumps(case) + "\n")
    if tools is not None:
        (directory / "tools.toml").write_text(tools)
    return load_suite(str(directory), search_path=[])


def with_grader(**changes: object) -> dict[str, object]:
    return {**CASE, "grader": {**GRADER, **changes}}


def test_the_stubs_of_the_tools_stand_where_the_system_prompt_says(tmp_path: Path) -> None:
    (case,) = load(tmp_path).cases
    assert case.messages[0].text.startswith("Write a program with these:\n")
    assert "def get_order(order_id: str)" in case.messages[0].text
    assert case.prompt == "What is the total of order O9?"


def test_the_digest_changes_with_the_tools_and_the_worlds(tmp_path: Path) -> None:
    digest = load(tmp_path).digest
    assert load(tmp_path, tools=TOOLS.replace("Gets an order", "Gets one order")).digest != digest
    assert load(tmp_path, case=with_grader(worlds=WORLDS[::-1])).digest != digest
    assert load(tmp_path).digest == digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"worlds": [{"get_order": {"*": {"total": "x", "tax": 1.0}}}, WORLDS[0]]}, "total: float is needed, not str"),
        ({"worlds": [{"get_order": {"*": {"total": 1.0}}}, WORLDS[0]]}, "world 0"),
        ({"worlds": WORLDS[:1]}, "at least 2"),
        ({"oracle": "result = get_order(order_id='O9')['totl']"}, "the oracle fails in world 0: exception: KeyError"),
        ({"oracle": "result = ("}, "`oracle` is no Python"),
        ({"oracle": "while True: pass"}, "the oracle fails in world 0"),
        ({"tools": ["get_weather"]}, "get_weather"),
    ],
)
def test_a_case_that_is_wrong_itself_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(SuiteError) as raised:
        load(tmp_path, case=with_grader(**changes))
    assert str(raised.value).startswith(f"{tmp_path / 'cases.jsonl'}, line 2: ")
    assert words in str(raised.value)


def test_lint_finds_a_field_that_never_matters_to_the_oracle(tmp_path: Path) -> None:
    load(tmp_path, case=with_grader(fields=["get_order.tax"]))
    (found,) = (finding for finding in lint(tmp_path) if "C-1" in finding.message)
    assert found.message.startswith(f"{tmp_path / 'cases.jsonl'}, line 2: ")
    assert "the field 'get_order.tax' never matters" in found.message


def composite(*parts: object) -> dict[str, object]:
    return {**CASE, "grader": {"kind": "composite", "rule": "all", "of": list(parts)}}


def test_the_tools_of_a_part_stand_in_the_prompt_and_its_oracle_is_checked(tmp_path: Path) -> None:
    regex = {"kind": "regex", "pattern": "x"}
    (case,) = load(tmp_path, case=composite(regex, GRADER)).cases
    assert "def get_order(order_id: str)" in case.messages[0].text
    load(tmp_path, case=composite(regex, {**GRADER, "fields": ["get_order.tax"]}))
    assert any("the field 'get_order.tax' never matters" in finding.message for finding in lint(tmp_path))


def test_parts_that_offer_different_tools_are_refused(tmp_path: Path) -> None:
    other = {"description": "Gets a bill.", "returns": {"total": "float"}}
    plain = {"kind": "plain_answer", "tools": ["get_bill"], "define": {"get_bill": other}, "pattern": "x"}
    with pytest.raises(SuiteError, match=r"line 2: the parts of the grader offer different tools"):
        load(tmp_path, case=composite(GRADER, plain))


def test_a_prompt_without_a_place_for_the_tools_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"line 2: offers tools, and no system prompt has \{tools\}"):
        load(tmp_path, manifest=MANIFEST.replace("{tools}", ""))


@pytest.mark.parametrize(
    ("tools", "line", "words"),
    [
        (TOOLS + "colour = 1\n", 6, "unknown field `colour`"),
        (TOOLS.replace('"float", tax', '"flot", tax'), 2, "unknown type 'flot'"),
        (TOOLS + "[tools.f]\ndescription = 3\n", 2, "Expected `str`, got `int`"),
        (TOOLS + "[tools\n", 6, "Expected"),
    ],
)
def test_a_mistake_in_the_tools_is_named_with_its_line(tmp_path: Path, tools: str, line: int, words: str) -> None:
    with pytest.raises(SuiteError) as raised:
        load(tmp_path, tools=tools)
    assert str(raised.value).startswith(f"{tmp_path / 'tools.toml'}, line {line}: ")
    assert words in str(raised.value)


def test_tools_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "tools.toml").write_bytes(b"# \xff\n")
    with pytest.raises(SuiteError, match=r"tools\.toml, line 1: not UTF-8"):
        load(tmp_path, tools=None)
