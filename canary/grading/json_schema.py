"""The answer is a JSON value that a JSON Schema accepts."""

from collections.abc import Iterator
from typing import Any, ClassVar

import jsonschema
import jsonschema.exceptions
import msgspec

# Its stubs leave the classes that `extend` makes, and with them the errors, untyped; this file is the only one that
# imports it.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from jsonschema.validators import extend

from canary.grading.json_text import MAX_DEPTH, NotJson, as_array, as_object, children, is_too_deep, read_json
from canary.grading.regex import search
from gateway.contracts.evaluations import Grade

_REFUSED = ("$dynamicRef", "$recursiveRef")
"""Keywords that would bring back what is kept out: recursion without end."""
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
"""Keywords whose schemas judge the same value, so that a loop through them never comes to an end."""
_NAMING = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords whose value has a schema under each name: the names are no keywords."""
_DATA = frozenset({"const", "enum", "default", "examples", "required", "dependentRequired"})
"""Keywords whose value holds no schema."""


class JsonSchema(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="json_schema",
):
    """`{"kind": "json_schema", "schema": {"type": "object", "required": ["city"]}}`, in draft 2020-12.

    `$ref` stays inside the schema (`#/...`); one that leads back to itself without going into the value is refused.
    Patterns are searched for by RE2. `format` is an annotation, as the draft has it.
    """

    kind: ClassVar[str] = "json_schema"
    version: ClassVar[int] = 1

    schema: dict[str, Any]

    def __post_init__(self) -> None:
        if is_too_deep(self.schema):
            raise ValueError(f"`schema` is nested deeper than {MAX_DEPTH} levels")
        _check(self.schema)

    def grade(self, answer: str) -> Grade:
        try:
            found = read_json(answer)
        except NotJson as error:
            return Grade(value=0.0, reason=str(error))
        error = jsonschema.exceptions.best_match(_Validator(self.schema).iter_errors(found))
        if error is None:
            return Grade(value=1.0, reason="conforms to the schema")
        return Grade(value=0.0, reason=f"does not conform: {error.validator} at {error.json_path}")

    def describe(self) -> str:
        return f"JSON that conforms to {msgspec.json.encode(self.schema).decode()}"


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, str) and not search(pattern, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], instance: Any, _schema: Any
) -> Iterator[jsonschema.ValidationError]:
    for name, value in (as_object(instance) or {}).items():
        for pattern, schema in patterns.items():
            if search(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, additional: Any, instance: Any, schema: dict[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    patterns = schema.get("patternProperties", {})
    for name, value in (as_object(instance) or {}).items():
        if name in schema.get("properties", {}) or any(search(pattern, name) for pattern in patterns):
            continue
        if additional is False:
            yield jsonschema.ValidationError(f"{name!r} is not allowed")
        else:
            yield from validator.descend(value, additional, path=name)


_Validator: Any = extend(
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
"""Draft 2020-12 with RE2 in the place of Python's `re`."""


def _check(root: dict[str, Any]) -> None:
    """Raise ValueError where the schema, or what it refers to, cannot be applied or would never end."""
    seen: set[str] = set()
    parts: list[object] = [root]
    uses: set[str] = set()
    while parts:
        part = parts.pop()
        try:
            _Validator.check_schema(part)
        except jsonschema.exceptions.SchemaError as error:
            raise ValueError(f"`schema` is no JSON Schema: {error.message} (at {error.json_path})") from error
        for keyword, value in _keywords(part):
            uses.add(keyword)
            if keyword in _REFUSED:
                raise ValueError(f"`schema` uses {keyword!r}, which is not supported")
            if keyword == "pattern":
                search(str(value), "")
            if keyword == "patternProperties":
                for pattern in as_object(value) or {}:
                    search(pattern, "")
            if keyword == "$ref" and str(value) not in seen:
                seen.add(str(value))
                # It may lead to where the walk does not come: below a keyword that nobody knows.
                target = _resolve(root, str(value))
                _check_no_circle(root, target, path=(str(value),))
                parts.append(target)
    if {"patternProperties", "unevaluatedProperties"} <= uses:
        raise ValueError("`schema` uses 'patternProperties' beside 'unevaluatedProperties', which is not supported")


def _keywords(schema: object) -> Iterator[tuple[str, object]]:
    """Yield the keywords of a schema and of those inside it, with their values."""
    for keyword, value in (as_object(schema) or {}).items():
        yield keyword, value
        if keyword in _DATA:
            continue
        for each in children(value) if keyword in _NAMING else (as_array(value) or [value]):
            yield from _keywords(each)


def _check_no_circle(root: dict[str, Any], schema: object, *, path: tuple[str, ...]) -> None:
    if len(path) > MAX_DEPTH:
        raise ValueError(f"`schema` follows more than {MAX_DEPTH} references in a row")
    entries = as_object(schema) or {}
    for keyword in _IN_PLACE:
        if keyword in entries:
            part = entries[keyword]
            for each in as_array(part) or [part]:
                _check_no_circle(root, each, path=path)
    reference = entries.get("$ref")
    if not isinstance(reference, str):
        return
    if reference in path:
        raise ValueError(f"`schema` refers to itself without end: {' -> '.join((*path, reference))}")
    _check_no_circle(root, _resolve(root, reference), path=(*path, reference))


def _resolve(root: dict[str, Any], reference: str) -> object:
    if reference != "#" and not reference.startswith("#/"):
        raise ValueError(f"`schema` refers to {reference!r}; only `#` and `#/...` are supported")
    found: object = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        entries, array = as_object(found), as_array(found)
        if entries is not None and name in entries:
            found = entries[name]
        elif array is not None and name.isdecimal() and int(name) < len(array):
            found = array[int(name)]
        else:
            raise ValueError(f"`schema` refers to {reference!r}, which it does not hold")
    return found
