"""Formats that llguidance takes more loosely than the calendar: it lets 29 February pass in any year."""

from typing import Any, cast

_LEAP = "(0[48]|[2468][048]|[13579][26])"
_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP_YEAR = f"([0-9]{{2}}{_LEAP}|{_LEAP}00)"
_DATE = (
    f"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP_YEAR}-02-29)"
)
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_PATTERNS = {"date": f"^{_DATE}$", "time": f"^{_TIME}$", "date-time": f"^{_DATE}T{_TIME}$"}
"""RFC 3339, of years from 1, without leap seconds and with microseconds at most: what Python's `datetime` reads."""

_SCHEMA_KEYWORDS = ("additionalProperties", "items")
_LIST_KEYWORDS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPPING_KEYWORDS = ("$defs", "definitions", "patternProperties", "properties")


def with_dates(schema: Any) -> Any:
    """Return the schema with its formats of dates and times as patterns; what is no schema stays as it is."""
    if not isinstance(schema, dict):
        return schema
    changed = dict(cast("dict[str, Any]", schema))
    for keyword in _SCHEMA_KEYWORDS:
        if keyword in changed:
            changed[keyword] = with_dates(changed[keyword])
    for keyword in _LIST_KEYWORDS:
        if isinstance(parts := changed.get(keyword), list):
            changed[keyword] = [with_dates(part) for part in cast("list[Any]", parts)]
    for keyword in _MAPPING_KEYWORDS:
        if isinstance(parts := changed.get(keyword), dict):
            changed[keyword] = {name: with_dates(part) for name, part in cast("dict[str, Any]", parts).items()}
    kind = changed.get("format")
    if not isinstance(kind, str) or kind not in _PATTERNS:
        return changed
    del changed["format"]
    if "pattern" not in changed:
        return {**changed, "pattern": _PATTERNS[kind]}
    others = cast("list[Any]", changed.get("allOf", []))
    return {**changed, "allOf": [*others, {"pattern": _PATTERNS[kind]}]}
