"""The JSON Schemas that editors use, and that they are what the code would write today."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from canary.suite.schema import SCHEMAS, schema_text

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "suites" / "schema"
VALIDATOR: Any = jsonschema.Draft202012Validator(json.loads(schema_text("case.schema.json")))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_up_to_date(name: str) -> None:
    assert (COMMITTED / name).read_text() == schema_text(name), "run `canary suite schema suites/schema`"


def test_every_shipped_case_conforms_to_the_schema_of_cases() -> None:
    lines = (ROOT / "suites" / "smoke" / "cases.jsonl").read_text().splitlines()
    assert [line for line in lines if not is_valid_case(json.loads(line))] == []


@pytest.mark.parametrize("case", [{"id": "x"}, {"id": "x", "category": "y", "grader": {"kind": "vibes"}}])
def test_the_schema_refuses_what_the_reader_refuses(case: object) -> None:
    assert not is_valid_case(case)


def is_valid_case(case: Any) -> bool:
    return VALIDATOR.is_valid(case)


@pytest.mark.parametrize(("name", "schema"), [("tools", "tools.schema.json"), ("suite", "suite.schema.json")])
def test_the_shipped_files_conform_to_their_schemas(name: str, schema: str) -> None:
    validator: Any = jsonschema.Draft202012Validator(json.loads(schema_text(schema)))
    for path in sorted((ROOT / "suites").glob(f"*/{name}.toml")):
        assert list(validator.iter_errors(tomllib.loads(path.read_text()))) == [], path


@pytest.mark.parametrize(
    ("returns", "valid"),
    [
        ("str | None", True),
        ({"items": [{"sku": "str"}]}, True),
        ("string", False),
        (["str", "int"], False),
        ([], False),
        ({"total": {"net": "decimal"}}, False),
        (3, False),
    ],
)
def test_the_schema_of_tools_knows_the_types(returns: object, valid: bool) -> None:
    validator: Any = jsonschema.Draft202012Validator(json.loads(schema_text("tools.schema.json")))
    assert validator.is_valid({"tools": {"f": {"description": "F.", "returns": returns}}}) == valid
