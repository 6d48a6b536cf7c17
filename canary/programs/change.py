"""How behaviour changes when one leaf of a world does, apart from whether it was right before.

Field access asks whether a program uses the right field at the right place, so it compares changes, not behaviours: a
program that takes the wrong branch, or is off by a constant, and reads the right field, changes as the oracle does. One
that has the value written into it does not change at all.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from canary.programs.behaviour import Behaviour, Order

Atom = tuple[str, ...]
"""A place (tool and argument, or the result, and the path inside) with the value there, as text."""
Change = frozenset[tuple[Any, ...]]
"""What one side has and the other lacks, without a direction: a program with its branches swapped goes backwards."""

_SIGNIFICANT_DIGITS = 9


def change_between(before: Behaviour, after: Behaviour, order: Order) -> Change:
    """Return what differs; empty where nothing does.

    Numbers at one place count by the size of their difference, all else by the two values. Where the same effects come
    in another order, and the order counts, that is the change.
    """
    gone, come = Counter(_atoms(before)), Counter(_atoms(after))
    numbers_before, numbers_after = dict(_numbers(before)), dict(_numbers(after))
    steps = {
        (*place, _rounded(abs(numbers_after[place] - value)))
        for place, value in numbers_before.items()
        if place in numbers_after and _rounded(numbers_after[place]) != _rounded(value)
    }
    sides = {side for side in (_counted(gone - come), _counted(come - gone)) if side}
    if not sides and not steps and order == "ordered" and before.effects != after.effects:
        return frozenset({("order",)})
    return frozenset(sides) | frozenset(steps)


def _counted(atoms: Counter[Atom]) -> tuple[Any, ...]:
    return tuple(sorted(atoms.items()))


def _atoms(behaviour: Behaviour) -> Iterator[Atom]:
    """Yield the tools called and every leaf that is not one of `_numbers`."""
    for effect in behaviour.effects:
        yield (effect.tool,)
        for path, value in _leaves(effect.arguments):
            yield (effect.tool, *path, repr(_settled(value)))
    numbers = {place for place, _ in _numbers(behaviour)}
    for path, value in _leaves(behaviour.result):
        if ("result", *path) not in numbers:
            yield ("result", *path, repr(_settled(value)))
        else:
            yield ("result", *path)


def _numbers(behaviour: Behaviour) -> Iterator[tuple[Atom, float]]:
    """Yield the numbers of the result, which stand at one place each; those of effects may stand in several."""
    for path, value in _leaves(behaviour.result):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield ("result", *path), value


def _leaves(value: Any, path: Atom = ()) -> Iterator[tuple[Atom, Any]]:
    match value:
        case dict() if value:
            for key, inner in cast("dict[str, Any]", value).items():
                yield from _leaves(inner, (*path, key))
        case list() | tuple() if value:
            for position, inner in enumerate(cast("list[Any]", value)):
                yield from _leaves(inner, (*path, str(position)))
        case _:
            yield path, value


def _settled(value: Any) -> Any:
    """Return a number as a float of few digits, so that 2 is 2.0 here as well."""
    return _rounded(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _rounded(value: float) -> float:
    try:
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    except OverflowError:
        return float("inf")
