"""The grammar of a demanded call: one function's name, and arguments that match its schema."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.contracts.tools import FunctionTool
from gateway.engine.grammar import json_rule
from gateway.wire import GrammarKind, GrammarSpec

_OPENING_KEYWORDS = frozenset(
    {"$ref", "additionalProperties", "allOf", "anyOf", "oneOf", "patternProperties", "unevaluatedProperties"}
)
"""Where one of these stands, `properties` alone does not say what an object may hold."""


def call_grammar(tools: Sequence[FunctionTool]) -> GrammarSpec:
    """Return the grammar of exactly one call of one of the tools, as `{"name": ..., "arguments": {...}}`.

    It is the same for every model, whatever syntax it was trained on: JSON is what can be held to a schema. Raises
    GrammarError where a schema is over the limits.
    """
    lines = ["start: " + " | ".join(f"call_{index}" for index in range(len(tools)))]
    for index, tool in enumerate(tools):
        opening = json.dumps(f'{{"name": "{tool.function.name}", "arguments": ')
        lines.append(f'call_{index}: {opening} arguments_{index} "}}"')
        lines.append(f"arguments_{index}: {json_rule(_arguments_schema(tool.function.parameters))}")
    return GrammarSpec(kind=GrammarKind.LARK, source="\n".join(lines), param="tools")


def _arguments_schema(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the schema that arguments are held to: an object, of the properties that it names and no others.

    A schema that leaves open what else there may be invites a small model to go on inventing names.
    """
    schema: dict[str, Any] = {**(parameters or {}), "type": "object"}
    if not _OPENING_KEYWORDS.intersection(schema):
        schema |= {"properties": schema.get("properties", {}), "additionalProperties": False}
    return schema
