"""What the oracle does, in the case's worlds and where one leaf is changed: all that a candidate is held against."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from canary.programs.behaviour import Behaviour, Failure, Order, difference
from canary.programs.change import Change, change_between
from canary.programs.messages import Limits
from canary.programs.paths import leaf_shape
from canary.programs.perturbation import Perturbation, perturbations
from canary.programs.sandbox import shared_sandbox
from canary.programs.source import read_source
from canary.programs.tools import Catalogue
from canary.programs.worlds import World

MAX_PAIRS_PER_PATH = 4
_BATCH = 12
"""Perturbations of one path tried at once; further ones only where none of these matters."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a program is judged by. Worlds are typed, and all tools are defined."""

    tools: Catalogue
    oracle: str
    worlds: tuple[World, ...]
    fields: tuple[str, ...]
    effects: Order
    max_calls: int

    @property
    def wants_result(self) -> bool:
        return read_source(self.oracle).sets_result

    def run(
        self, source: str, worlds: tuple[World, ...], limits: Limits | None = None
    ) -> tuple[Behaviour | Failure, ...]:
        (outcomes,) = self.run_all((source,), worlds, limits)
        return outcomes

    def run_all(
        self, sources: Sequence[str], worlds: tuple[World, ...], limits: Limits | None = None
    ) -> tuple[tuple[Behaviour | Failure, ...], ...]:
        return shared_sandbox().run_all(
            sources,
            worlds,
            tools=self.tools,
            wants_result=self.wants_result,
            limits=limits or Limits(calls_count=self.max_calls),
        )


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A world, and the same with one leaf changed so that the oracle's behaviour changes."""

    perturbation: Perturbation
    change: Change


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    behaviours: tuple[Behaviour, ...]
    """Of the oracle, one for each world."""
    pairs: tuple[Pair, ...]


class OracleFailed(ValueError):
    """The case is wrong: its oracle fails in one of its worlds, or one of its fields never matters."""


def reference_of(task: Task) -> Reference:
    """Return the reference, which is worked out once for a task. Raises OracleFailed."""
    # A Struct with a dict cannot be a key of the cache; its bytes can.
    return _reference(msgspec.msgpack.encode(task))


@functools.lru_cache(maxsize=1024)
def _reference(encoded: bytes) -> Reference:
    task = msgspec.msgpack.decode(encoded, type=Task)
    behaviours = run_oracle(task)
    return Reference(behaviours=behaviours, pairs=_pairs(task, behaviours))


def run_oracle(task: Task) -> tuple[Behaviour, ...]:
    """Return what the oracle does in each world, which is found out once for a task. Raises OracleFailed."""
    return _behaviours(msgspec.msgpack.encode(task))


@functools.lru_cache(maxsize=1024)
def _behaviours(encoded: bytes) -> tuple[Behaviour, ...]:
    task = msgspec.msgpack.decode(encoded, type=Task)
    return tuple(_sound(outcome, number) for number, outcome in enumerate(task.run(task.oracle, task.worlds)))


def _sound(outcome: Behaviour | Failure, number: int) -> Behaviour:
    if isinstance(outcome, Failure):
        raise OracleFailed(f"the oracle fails in world {number}: {outcome.kind}: {outcome.message}")
    return outcome


def _pairs(task: Task, behaviours: tuple[Behaviour, ...]) -> tuple[Pair, ...]:
    """Return the perturbations after which the oracle still runs and does something else. Raises OracleFailed."""
    reads = [frozenset(behaviour.reads) for behaviour in behaviours]
    pairs: list[Pair] = []
    for path in task.fields:
        candidates = perturbations(path, leaf_shape(path, task.tools), task.worlds, reads, task.oracle)
        found: list[Pair] = []
        while not found and (batch := tuple(itertools.islice(candidates, _BATCH))):
            found = list(_informative(batch, task, behaviours))
        if not found:
            raise OracleFailed(f"the field {path!r} never matters to the oracle in these worlds")
        pairs += _spread(found)
    return tuple(pairs)


def _informative(batch: tuple[Perturbation, ...], task: Task, behaviours: tuple[Behaviour, ...]) -> Iterator[Pair]:
    outcomes = task.run(task.oracle, tuple(each.world for each in batch))
    for perturbation, outcome in zip(batch, outcomes, strict=True):
        before = behaviours[perturbation.world_number]
        if isinstance(outcome, Behaviour) and difference(outcome, before, task.effects) is not None:
            change = change_between(before, outcome, task.effects)
            yield Pair(perturbation=perturbation, change=change)


def _spread(found: list[Any]) -> list[Any]:
    """Return at most `MAX_PAIRS_PER_PATH`, evenly chosen."""
    step = max(1, len(found) / MAX_PAIRS_PER_PATH)
    return [found[int(position * step)] for position in range(min(len(found), MAX_PAIRS_PER_PATH))]
