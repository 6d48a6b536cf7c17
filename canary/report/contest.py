"""Who wins a row: the best figure, ties and rows that decide nothing included."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

TIE = "tie"
NO_CONTEST = "none meets the accuracy floors"
DEQUANTISED = "not comparable: dequantised"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One system's figure in one row."""

    label: str
    value: float | Decimal | None
    printed: str
    """Figures that print alike are alike: they tie."""
    eligible: bool
    """Whether the system meets the accuracy floors: how fast a broken model is does not matter."""


def winner_of(entries: Sequence[Entry], *, higher_is_better: bool) -> str:
    """Return the label with the best figure among the eligible; `tie` or `tie: a, b` where several share it."""
    eligible = [entry for entry in entries if entry.eligible]
    if not eligible:
        return NO_CONTEST
    measured = [(entry, entry.value) for entry in eligible if entry.value is not None]
    if not measured:
        return ""
    choose = max if higher_is_better else min
    best, _ = choose(measured, key=lambda pair: pair[1])
    sharing = [entry.label for entry, _ in measured if entry.printed == best.printed]
    if len(sharing) == 1:
        return best.label
    return TIE if len(sharing) == len(measured) else f"{TIE}: {', '.join(sharing)}"
