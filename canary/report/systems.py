"""How the systems of a run are named and described in its report, and which of them meet the accuracy floors."""

import os.path
from collections import Counter

import msgspec

from canary.report.quantities import gib
from canary.report.table import Table
from gateway.contracts.evaluations import Comparison, Criterion, Evaluation, Level, Metric, Rule, System


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """A system with its levels, whichever comparisons hold them."""

    label: str
    """A short name that is its own in this run; the systems' table has the reference beside it."""
    system: System
    levels: dict[tuple[Metric, str | None], Level]
    meets_floors: bool
    """Whether it meets every required floor of accuracy and field access, the incumbent included."""


def contestants(evaluation: Evaluation) -> tuple[Contestant, ...]:
    """Return the incumbent and the candidates, in the order of the record."""
    of_candidates = [{_key(each): each.candidate for each in it.comparisons} for it in evaluation.judgements]
    of_incumbent = {_key(each): each.incumbent for it in evaluation.judgements[:1] for each in it.comparisons}
    return tuple(
        Contestant(label=label, system=system, levels=levels, meets_floors=_meets_floors(evaluation.criteria, levels))
        for label, system, levels in zip(
            labels_of(evaluation.systems), evaluation.systems, (of_incumbent, *of_candidates), strict=True
        )
    )


def systems_table(entered: tuple[Contestant, ...]) -> Table:
    return Table(
        title="Systems",
        header=("System", "Role", "Variant", "Weights", "Engine"),
        rows=tuple(
            (
                each.label,
                each.system.role,
                each.system.variant.reference,
                _weights(each.system),
                f"{each.system.device}, dequantised at load" if each.system.dequantised else each.system.device,
            )
            for each in entered
        ),
    )


def labels_of(systems: tuple[System, ...]) -> list[str]:
    """Return a short name of each that no other has."""
    names = Counter(system.variant.name for system in systems)
    references = Counter(system.variant.reference for system in systems)
    labels: list[str] = []
    for system in systems:
        variant = system.variant
        if names[variant.name] == 1:
            labels.append(variant.name)
        elif references[variant.reference] == 1:
            labels.append(variant.reference)
        else:
            labels.append(f"{variant.name} as {system.role}")
    return _without_common_start(labels)


def _without_common_start(labels: list[str]) -> list[str]:
    """Cut the words that all begin with: builds of one model differ at the end, and columns are narrow."""
    start = os.path.commonprefix(labels)
    words = max(start.rfind("-"), start.rfind("_")) + 1
    shortened = [label[words:] for label in labels]
    return shortened if all(shortened) else labels


def _weights(system: System) -> str:
    stored = system.variant.engine.quantization
    kind = "not quantised" if stored is None else f"{stored.bits}-bit, groups of {stored.group_size}"
    return f"{kind}, {gib(system.variant.engine.weights_bytes)}"


def _key(comparison: Comparison) -> tuple[Metric, str | None]:
    return comparison.metric, comparison.category


def _meets_floors(criteria: tuple[Criterion, ...], levels: dict[tuple[Metric, str | None], Level]) -> bool:
    """A floor whose figure is missing is not met."""
    floors = [
        each for each in criteria if each.required and each.rule is Rule.AT_LEAST and each.metric.higher_is_better
    ]
    found = [(floor, levels.get((floor.metric, floor.category))) for floor in floors]
    return all(level is not None and level.value is not None and level.value >= floor.bound for floor, level in found)
