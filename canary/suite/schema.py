"""JSON Schemas of a suite's files, for editors, generated from the Structs that read them."""

from pathlib import Path
from typing import Any

import msgspec

from canary.programs.shapes import SHAPE_JSON_SCHEMA
from canary.programs.tools import ToolsFile
from canary.suite.case import CaseLine
from gateway.contracts.suites import SuiteManifest

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: dict[str, type[msgspec.Struct]] = {
    "suite.schema.json": SuiteManifest,
    "tools.schema.json": ToolsFile,
    "case.schema.json": CaseLine,
}
"""File name and what it describes: `suite.toml`, `tools.toml`, and one line of `cases.jsonl`."""


def schema_text(name: str) -> str:
    """Return the content of one of SCHEMAS."""
    schema: dict[str, Any] = {"$schema": _DIALECT, **msgspec.json.schema(SCHEMAS[name])}
    if "Tool" in schema["$defs"]:
        # msgspec knows no recursive types that are no Structs.
        schema["$defs"]["Shape"] = SHAPE_JSON_SCHEMA
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def write_schemas(directory: Path) -> tuple[Path, ...]:
    """Write all of SCHEMAS and return their paths. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in SCHEMAS:
        (directory / name).write_text(schema_text(name), encoding="utf-8")
    return tuple(directory / name for name in SCHEMAS)
