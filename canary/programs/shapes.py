"""The types that tools take and return, in a notation that TOML and JSON can hold, and the check of values against it.

A shape is one of

    "str", "int", "float", "bool", each also as "str | None"
    {"field": shape, ...}      a record: exactly these fields
    [shape]                    a list of any length
"""

import math
from typing import Annotated, Any, cast

import msgspec

Shape = Annotated[Any, msgspec.Meta(extra_json_schema={"$ref": "#/$defs/Shape"})]
"""A string, a dict or a list of one, as above; `check_shape` says whether it is."""

SCALARS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_NULLABLE = " | None"

SHAPE_JSON_SCHEMA: dict[str, Any] = {
    "description": "A type: its name, a table of fields, or a list that holds one type.",
    "anyOf": [
        {"enum": [name + suffix for name in SCALARS for suffix in ("", _NULLABLE)]},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/Shape"}},
        {"type": "array", "prefixItems": [{"$ref": "#/$defs/Shape"}], "items": False, "minItems": 1},
    ],
}
"""What a `Shape` refers to, for editors."""


def split_scalar(shape: str) -> tuple[str, bool]:
    """Return a scalar's name and whether it may be None. Raises ValueError for any other name."""
    name = shape.removesuffix(_NULLABLE)
    if name not in SCALARS:
        raise ValueError(
            f"unknown type {shape!r}: there are {', '.join(SCALARS)}, each also with `{_NULLABLE.strip()}`"
        )
    return name, name != shape


def check_shape(shape: Shape, where: str) -> None:
    """Raise ValueError, which says where, unless this is a shape."""
    match shape:
        case str():
            try:
                split_scalar(shape)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        case {}:
            for name, inner in cast("dict[str, Shape]", shape).items():
                if not name.isidentifier():
                    raise ValueError(f"{where}: {name!r} is no name for a field")
                check_shape(inner, f"{where}.{name}")
        case [inner]:
            check_shape(inner, f"{where}.*")
        case _:
            raise ValueError(f"{where}: a type is a name, a table of fields, or a list that holds one type")


def conform(value: Any, shape: Shape, where: str) -> Any:
    """Return the value with whole numbers made floats where the shape says float. Raises ValueError, which says where.

    Without the conversion, `str(5)` and `str(5.0)` would tell two programs apart that are the same by their types.
    """
    match shape:
        case str():
            return _conform_scalar(value, shape, where)
        case [inner]:
            if not isinstance(value, list | tuple):
                raise ValueError(f"{where}: a list is needed, not {_name(value)}")  # noqa: TRY004 - data, not code
            items = cast("list[Any]", value)
            return [conform(item, inner, f"{where}.{position}") for position, item in enumerate(items)]
        case _:
            return _conform_record(value, shape, where)


def _conform_record(value: Any, shape: dict[str, Shape], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: a record is needed, not {_name(value)}")  # noqa: TRY004 - data, not code
    fields = cast("dict[str, Any]", value)
    for name in fields:
        if name not in shape:
            raise ValueError(f"{where}: unknown field {name!r}; the type has {', '.join(shape)}")
    for name in shape:
        if name not in fields:
            raise ValueError(f"{where}: the field {name!r} is missing")
    return {name: conform(fields[name], inner, f"{where}.{name}") for name, inner in shape.items()}


def _conform_scalar(value: Any, shape: str, where: str) -> Any:
    name, nullable = split_scalar(shape)
    if value is None and nullable:
        return None
    if name == "float" and type(value) is int:
        return float(value)
    # By `type`, as True is an int to `isinstance`.
    if type(value) is not SCALARS[name]:
        raise ValueError(f"{where}: {shape} is needed, not {_name(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: a finite number is needed")
    return value


def _name(value: Any) -> str:
    return "None" if value is None else type(value).__name__
