"""What a run of the benchmarks found, and whether a target is reached. Pure."""

import math
from statistics import median

import msgspec

from tests.bench.environment import Environment
from tests.bench.measures import Figures
from tests.bench.scenarios import GATEWAY, Scenario, Target


class Spread(msgspec.Struct, frozen=True):
    min: float
    median: float
    max: float


class TargetResult(msgspec.Struct, frozen=True, kw_only=True):
    target: Target
    value: float | None
    """Of the medians; None where the gateway or the other has no figure."""
    reached: bool | None


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    model: str
    figures: dict[str, dict[str, Spread]]
    """By contender, then by figure."""
    unavailable: dict[str, str]
    """Contenders that did not take part, and why."""
    targets: tuple[TargetResult, ...]


class Roofline(msgspec.Struct, frozen=True, kw_only=True):
    """Of the real model, one stream."""

    bytes_per_token: int
    bandwidth_gb_s: float | None
    """10^9 bytes a second; None where neither a table nor `--bandwidth` says it."""
    ceiling_tokens_per_s: float | None
    measured_tokens_per_s: float | None


class Results(msgspec.Struct, frozen=True, kw_only=True):
    environment: Environment
    quick: bool
    repeats: int
    real_model: str
    scenarios: tuple[ScenarioResult, ...]
    roofline: Roofline | None


def summarise(
    scenario: Scenario, model: str, runs: dict[str, list[Figures]], unavailable: dict[str, str]
) -> ScenarioResult:
    """Return the spread of every figure over a contender's runs, and the targets judged by medians.

    A run in which something failed may lack a figure.
    """
    figures = {
        contender: {
            figure: _spread([run.get(figure, math.nan) for run in repeated])
            for figure in dict.fromkeys(figure for run in repeated for figure in run)
        }
        for contender, repeated in runs.items()
        if repeated
    }
    return ScenarioResult(
        name=scenario.name,
        title=scenario.title,
        model=model,
        figures=figures,
        unavailable=unavailable,
        targets=tuple(_judge(target, figures) for target in scenario.targets),
    )


def _spread(values: list[float]) -> Spread:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(min(known), median(known), max(known))


def _judge(target: Target, figures: dict[str, dict[str, Spread]]) -> TargetResult:
    value = _median(figures, GATEWAY, target.figure)
    if target.against is not None and value is not None:
        other = _median(figures, target.against, target.figure)
        value = value / other if other else None
    reached = None
    if value is not None:
        reached = value >= target.value if target.bound == "at_least" else value <= target.value
    return TargetResult(target=target, value=value, reached=reached)


def _median(figures: dict[str, dict[str, Spread]], contender: str, figure: str) -> float | None:
    spread = figures.get(contender, {}).get(figure)
    return None if spread is None or math.isnan(spread.median) else spread.median
