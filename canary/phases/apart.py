"""Measure what trials do not tell: memory and times, of the systems that may still pass."""

from collections.abc import Callable

import msgspec

from canary.client import GatewayClient
from canary.judge import judge
from canary.phases.asking import Bring
from canary.phases.latency import measure_latency
from canary.phases.memory import measure_memory
from canary.suite import Suite
from gateway.contracts.evaluations import Evaluation, Outcome
from gateway.contracts.memory import MemoryRecord


def measure_apart(
    gateway: GatewayClient,
    tried: Evaluation,
    suite: Suite,
    *,
    loaded: frozenset[str],
    bring: Bring,
    note: Callable[[str], None],
) -> Evaluation:
    """Return the record with its memory and latency; `tried` has all its trials.

    Nothing is measured of a candidate that has failed already. `loaded` holds the digests of the engines that this run
    has loaded: nobody else needs them. `bring` is told which system is measured next.
    """
    judgements = judge(tried)
    places = [(0, tried.incumbent)] + [
        (position, system)
        for position, (system, judgement) in enumerate(zip(tried.candidates, judgements, strict=True), 1)
        if judgement.verdict.outcome is not Outcome.FAILED
    ]
    if len(places) == 1:
        return tried
    if suite.manifest.measures_memory:
        memory: list[MemoryRecord] = []
        for position, system in places:
            bring(position)
            record = measure_memory(
                gateway,
                position,
                system,
                suite,
                model=tried.model,
                may_reload=system.variant.engine.digest in loaded,
                note=note,
            )
            memory.append(record)
        tried = msgspec.structs.replace(tried, memory=tuple(memory))
    latency = measure_latency(gateway, places, suite, tried, bring=bring, note=note)
    return msgspec.structs.replace(tried, latency=latency)
