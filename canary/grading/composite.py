"""Several graders judge one answer, and a rule makes one grade of theirs."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import msgspec

from canary.grading.command import Command
from canary.grading.exact import Exact
from canary.grading.json_equal import JsonEqual
from canary.grading.json_schema import JsonSchema
from canary.grading.numeric import Numeric
from canary.grading.plain_answer import PlainAnswer
from canary.grading.program import Program
from canary.grading.regex import Regex
from canary.grading.setting import Grader
from canary.grading.text import Text
from canary.grading.tool_calls import ToolCalls
from gateway.contracts.evaluations import Grade, Metric, Ungraded

_Plain = Exact | Regex | Numeric | Text | JsonEqual | JsonSchema | ToolCalls | Program | PlainAnswer | Command


class Composite(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="composite",
):
    """`{"kind": "composite", "rule": "all", "of": [{"kind": "regex", ...}, {"kind": "json_schema", ...}]}`.

    `all` gives the lowest value of the parts, `any` the highest, `none` one minus the highest, and `weighted` their
    mean by `weights` (equal ones where left out), which with a `threshold` becomes 1 from there on and 0 below.
    """

    kind: ClassVar[str] = "composite"
    version: ClassVar[int] = 1

    rule: Literal["all", "any", "none", "weighted"]
    of: "tuple[_Plain | Composite, ...]"
    weights: tuple[float, ...] | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not self.of:
            raise ValueError("`of` must hold at least one grader")
        if self.rule != "weighted" and (self.weights is not None or self.threshold is not None):
            raise ValueError('`weights` and `threshold` belong to `"rule": "weighted"`')
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError("`threshold` must lie above 0 and at most at 1")
        if self.weights is None:
            return
        if len(self.weights) != len(self.of):
            raise ValueError(f"`weights` holds {len(self.weights)} numbers for {len(self.of)} graders")
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.weights) or not sum(self.weights):
            raise ValueError("`weights` must be finite, not negative, and not all 0")


class ReadyComposite(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[str] = Composite.kind
    version: ClassVar[int] = Composite.version

    written: Composite
    parts: tuple[Grader, ...]

    def grade(self, answer: str) -> Grade | Ungraded:
        """Combine the parts. Where one declines, the rest decides only if it does so whatever that one would say."""
        grades = [part.grade(answer) for part in self.parts]
        declined = next((grade for grade in grades if isinstance(grade, Ungraded)), None)
        graded = [grade for grade in grades if isinstance(grade, Grade)]
        decisive = {"all": 0.0, "any": 1.0, "none": 1.0}.get(self.written.rule)
        if declined is not None and not any(grade.value == decisive for grade in graded):
            return Ungraded(reason=f"a part declines: {declined.reason}")
        return Grade(
            value=self._combine([grade.value for grade in graded]),
            reason=f"{self.written.rule} of: " + "; ".join(grade.reason for grade in graded),
            measures=_lowest_measures(graded),
        )

    def describe(self) -> str:
        return f"{self.written.rule} of: " + "; ".join(part.describe() for part in self.parts)

    def _combine(self, values: Sequence[float]) -> float:
        match self.written.rule:
            case "all":
                return min(values)
            case "any":
                return max(values)
            case "none":
                return 1 - max(values)
            case "weighted":
                weights = self.written.weights or (1.0,) * len(values)
                mean = math.fsum(map(math.prod, zip(weights, values, strict=True))) / math.fsum(weights)
                if self.written.threshold is None:
                    return min(mean, 1.0)
                # A mean that misses the threshold by a rounding error has reached it.
                return 1.0 if mean >= self.written.threshold - 1e-9 else 0.0


def _lowest_measures(grades: Sequence[Grade]) -> dict[Metric, float]:
    lowest: dict[Metric, float] = {}
    for grade in grades:
        for metric, value in grade.measures.items():
            lowest[metric] = min(value, lowest.get(metric, value))
    return lowest
