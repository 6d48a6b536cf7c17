"""The answer contains a number, at a stated place, that is near enough to a value."""

import math
import re
from typing import ClassVar

import msgspec

from gateway.contracts.evaluations import Grade, Ungraded

# A number inside a word (`x2`, `v1.2`) is none, nor is a part of something longer: `1.2.3`, `12:30`, `2^10`, `0x1F`,
# `4²`, `1/2/2026`. A minus sign after a digit is a dash (`3-5`), before one it is a sign. `1/2` is a half. The
# quantifiers give nothing back, so that no part of a number is taken for one, and time is linear.
_UNSIGNED = r"(?:[0-9]++(?:,[0-9]++)*+(?:\.[0-9]++)?+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+"
_NUMBER = re.compile(
    r"(?<![^\W_])(?<![.,^/])(?<![0-9]:)(?<![0-9]\*\*)[-+\u2212]?+"
    rf"{_UNSIGNED}(?:/[0-9]++)?+(?![.,:^/][0-9]|\*\*[0-9]|[²³¹⁰⁴-⁹]|[xX][0-9a-fA-F])"
)
_GROUPED = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")


class Numeric(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="numeric",
):
    """`{"kind": "numeric", "value": 1234.5}` takes `so the sum is $1,234.50.`: the last number of the answer counts."""

    kind: ClassVar[str] = "numeric"
    version: ClassVar[int] = 2

    value: float
    absolute_tolerance: float = 0.0
    relative_tolerance: float = 0.0
    """Of `value`. The larger of the two tolerances holds."""
    place: int = -1
    """Which number of the answer counts: 0 is the first, -1 the last."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError("`value` must be finite")
        for name in ("absolute_tolerance", "relative_tolerance"):
            tolerance: float = getattr(self, name)
            if not (math.isfinite(tolerance) and tolerance >= 0):
                raise ValueError(f"`{name}` must be finite and not negative")

    def grade(self, answer: str) -> Grade | Ungraded:
        """Decline where a comma in the number groups no thousands: `1,5` is 1.5 to some and two numbers to others."""
        found = [match.group() for match in _NUMBER.finditer(answer)]
        if not -len(found) <= self.place < len(found):
            return Grade(value=0.0, reason="has no number" if not found else f"has no number at place {self.place}")
        words = found[self.place].replace("\u2212", "-")
        if "," in words and not _GROUPED.match(words):
            return Ungraded(reason=f"{words!r} may be read as more than one number")
        number = _value(words.replace(",", ""))
        if abs(number - self.value) <= max(self.absolute_tolerance, self.relative_tolerance * abs(self.value)):
            return Grade(value=1.0, reason=f"{words} is near enough")
        return Grade(value=0.0, reason=f"{words} is not near enough")

    def describe(self) -> str:
        tolerance = max(self.absolute_tolerance, self.relative_tolerance * abs(self.value))
        near = f" within {tolerance:g}" if tolerance else ""
        where = {-1: "last", 0: "first"}.get(self.place, f"place {self.place}")
        return f"the number {self.value:.15g}{near} ({where} in the answer)"


def _value(words: str) -> float:
    numerator, slash, denominator = words.partition("/")
    if not slash:
        return float(words)
    return float(numerator) / float(denominator) if float(denominator) else math.nan
