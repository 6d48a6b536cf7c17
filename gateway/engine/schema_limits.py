"""What a JSON Schema must not ask for: more than the engine compiles in a moment, or what a grammar cannot promise."""

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

MAX_SCHEMA_CHARACTERS = 120_000
MAX_SCHEMA_PROPERTIES = 1_000
"""Compiling takes the square of them: 0.3 s for so many that are all optional."""
MAX_ENUM_VALUES = 1_000
MAX_MULTIPLE = 10_000
"""A number's multiples are found by an automaton with as many states: 0.1 s for so many, a minute for a million."""

_CONTROLS = re.compile(r"[\x00-\x07\x0b\x0e-\x1f]")
"""Those that JSON writes as \\u escapes only, which grammars leave out: see `gateway/engine/grammar.py`."""
_CONTROLS_IN_PATTERN = re.compile(r"\\(?:x[01]|u00[01]|u\{|x\{|c|0|a|e|v)")


class SchemaError(Exception):
    """The text names the keyword or the limit."""


def check_schema(source: str, schema: object) -> None:
    """Raise SchemaError where the schema, of which `source` is the JSON, is over a limit or cannot be promised."""
    if len(source) > MAX_SCHEMA_CHARACTERS:
        raise SchemaError(f"the schema has {len(source)} characters, and {MAX_SCHEMA_CHARACTERS} are read at most")
    property_count = 0
    multiples: set[object] = set()
    for part in _objects(schema):
        property_count += len(_mapping(part.get("properties")))
        _check_enum(part)
        _check_counted_properties(part)
        _check_characters(part)
        multiples.add(part.get("multipleOf"))
    _check_multiples(multiples)
    if property_count > MAX_SCHEMA_PROPERTIES:
        raise SchemaError(f"the schema has {property_count} properties, and {MAX_SCHEMA_PROPERTIES} are read at most")


def _check_enum(part: Mapping[str, Any]) -> None:
    values = part.get("enum")
    if isinstance(values, list) and len(cast("list[object]", values)) > MAX_ENUM_VALUES:
        raise SchemaError(f'"enum" has more than {MAX_ENUM_VALUES} values')


def _check_counted_properties(part: Mapping[str, Any]) -> None:
    """Refuse a count that a repeated key can fake: a grammar counts keys, and a reader takes the last of equal ones."""
    least = part.get("minProperties")
    required = part.get("required")
    named = len(set(map(str, cast("list[object]", required)))) if isinstance(required, list) else 0
    if isinstance(least, int | float) and least > max(1, named):
        raise SchemaError('"minProperties" is more than the required properties')


def _check_multiples(multiples: set[object]) -> None:
    """Refuse what all of them together, where one number must be a multiple of all, make too large."""
    parts = [Decimal(str(one)).as_integer_ratio() for one in multiples if isinstance(one, int | float)]
    numerator = math.lcm(*(abs(part[0]) for part in parts))
    denominator = math.lcm(*(part[1] for part in parts))
    if numerator * denominator > MAX_MULTIPLE:
        raise SchemaError(f'"multipleOf" has values whose common multiple is more than {MAX_MULTIPLE}')


def _check_characters(part: Mapping[str, Any]) -> None:
    values: list[object] = [*part, *part.values(), *_list(part.get("enum"))]
    if any(isinstance(value, str) and _CONTROLS.search(value) for value in values):
        raise SchemaError("a control character is in the schema")
    for pattern in (part.get("pattern"), *_mapping(part.get("patternProperties"))):
        if isinstance(pattern, str) and _CONTROLS_IN_PATTERN.search(pattern):
            raise SchemaError('a "pattern" names a control character')


def _objects(root: object) -> Iterator[Mapping[str, Any]]:
    """Yield every object in the document: a reference may point to any of them."""
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield cast("Mapping[str, Any]", value)
            pending.extend(cast("Mapping[str, object]", value).values())
        elif isinstance(value, list):
            pending.extend(cast("list[object]", value))


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
