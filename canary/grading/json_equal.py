"""The answer is a JSON value that equals the expected one."""

from typing import Any, ClassVar

import msgspec

from canary.grading.json_text import MAX_DEPTH, NotJson, canonical, is_too_deep, read_json
from gateway.contracts.evaluations import Grade

_SHOWN = 120
"""Characters of the value in its description."""


class JsonEqual(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="json_equal",
):
    """`{"kind": "json_equal", "value": {"city": "Oslo"}}`: the whole answer, or its one fenced block, is that value.

    The order of keys never counts; that of arrays does, unless `any_order` is true. `1` equals `1.0`.
    """

    kind: ClassVar[str] = "json_equal"
    version: ClassVar[int] = 1

    value: Any
    any_order: bool = False

    def __post_init__(self) -> None:
        if is_too_deep(self.value):
            raise ValueError(f"`value` is nested deeper than {MAX_DEPTH} levels")

    def grade(self, answer: str) -> Grade:
        try:
            found = read_json(answer)
        except NotJson as error:
            return Grade(value=0.0, reason=str(error))
        if canonical(found, any_order=self.any_order) == canonical(self.value, any_order=self.any_order):
            return Grade(value=1.0, reason="equals the expected JSON")
        return Grade(value=0.0, reason="is other JSON than expected")

    def describe(self) -> str:
        words = msgspec.json.encode(self.value).decode()
        shown = words if len(words) <= _SHOWN else words[:_SHOWN] + "..."
        return f"the JSON {shown}" + (", arrays in any order" if self.any_order else "")
