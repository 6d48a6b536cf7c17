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

_REFUSED = ("$dynamicRef", "$recursiveRef", "patternProperties")
"""Keywords of draft 2020-12 that would bring back what is kept out: unbounded recursion, and Python's `re`."""
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
"""Keywords whose schemas judge the same value, so that a loop through them never comes to an end."""


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
    `pattern` is searched for by RE2. `format` is an annotation, as the draft has it.
    """

    kind: ClassVar[str] = "json_schema"
    version: ClassVar[int] = 1

    schema: dict[str, Any]

    def __post_init__(self) -> None:
        if is_too_deep(self.schema):
            raise ValueError(f"`schema` is nested deeper than {MAX_DEPTH} levels")
        try:
            _Validator.check_schema(self.schema)
        except jsonschema.exceptions.SchemaError as error:
            raise ValueError(f"`schema` is no JSON Schema: {error.message} (at {error.json_path})") from error
        for keyword, value in _keywords(self.schema):
            if keyword in _REFUSED:
                raise ValueError(f"`schema` uses {keyword!r}, which is not supported")
            if keyword == "pattern" and isinstance(value, str):
                search(value, "")
        _check_references(self.schema)

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


_Validator: Any = extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def _keywords(schema: object) -> Iterator[tuple[str, object]]:
    """Yield every key of every object in the schema. A property that has a keyword's name counts as the keyword."""
    yield from (as_object(schema) or {}).items()
    for each in children(schema):
        yield from _keywords(each)


def _check_references(root: dict[str, Any]) -> None:
    """Raise ValueError where a `$ref` leads out of the schema, nowhere, or in a circle."""
    for keyword, value in _keywords(root):
        if keyword == "$ref" and isinstance(value, str):
            _check_no_circle(root, _resolve(root, value), path=(value,))


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
