"""JSON Schemas of a suite's files, for editors, generated from the Structs that read them."""

from pathlib import Path

import msgspec

from canary.suite.case import CaseLine
from gateway.contracts.suites import SuiteManifest

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: dict[str, type[msgspec.Struct]] = {"suite.schema.json": SuiteManifest, "case.schema.json": CaseLine}
"""File name and what it describes: `suite.toml`, and one line of `cases.jsonl`."""


def schema_text(name: str) -> str:
    """Return the content of one of SCHEMAS."""
    schema = {"$schema": _DIALECT, **msgspec.json.schema(SCHEMAS[name])}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def write_schemas(directory: Path) -> tuple[Path, ...]:
    """Write all of SCHEMAS and return their paths. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in SCHEMAS:
        (directory / name).write_text(schema_text(name), encoding="utf-8")
    return tuple(directory / name for name in SCHEMAS)
