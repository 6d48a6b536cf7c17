"""When times that were measured apart are looked at: early once, which may end the measurement, and at its end."""

from collections.abc import Sequence

import msgspec

from canary.judge.criteria import apply_to_bounds, is_decisive
from canary.judge.evidence import Evidence, collect_evidence
from canary.judge.latency import FIRST_LOOK_Z, first_look, look_z
from gateway.contracts.evaluations import Criterion, Evaluation, Outcome


def times_settled(evaluation: Evaluation) -> tuple[bool, ...]:
    """Return of each candidate of a run whose times are being measured whether its first look has settled all of them.

    Under profile `seed`, never: it decides by the figures themselves, and the more the better.
    """
    incumbent, *candidates = collect_evidence(evaluation)
    if evaluation.profile == "seed":
        return (False,) * len(candidates)
    return tuple(_settled_early(evaluation, candidate, incumbent) is not None for candidate in candidates)


def read_times(evaluation: Evaluation, candidate: Evidence, incumbent: Evidence) -> tuple[Evidence, Evidence]:
    """Return the evidence with the times that count: those of the first look where it settles all criteria over times.

    What was timed beyond that counts for nothing, like trials beyond the stopping point.
    """
    early = _settled_early(evaluation, candidate, incumbent)
    if early is not None:
        return early
    if evaluation.latency is None:
        return candidate, incumbent
    z = look_z(evaluation.latency.cycles, candidate.blocks or ())
    return msgspec.structs.replace(candidate, times_z=z), msgspec.structs.replace(incumbent, times_z=z)


def _settled_early(
    evaluation: Evaluation, candidate: Evidence, incumbent: Evidence
) -> tuple[Evidence, Evidence] | None:
    """Return the evidence of the first look if it ends the measurement, None where all planned cycles are needed."""
    cycles = None if evaluation.latency is None else first_look(evaluation.latency.cycles)
    if cycles is None:
        return None
    early = _first_cycles(candidate, cycles), _first_cycles(incumbent, cycles)
    if _are_settled(evaluation.criteria, *early, min_pairs=evaluation.min_pairs):
        return early
    return None


def _first_cycles(evidence: Evidence, cycles: int) -> Evidence:
    blocks = tuple(block for block in evidence.blocks or () if block.cycle < cycles)
    return msgspec.structs.replace(evidence, blocks=blocks, times_z=FIRST_LOOK_Z)


def _are_settled(criteria: Sequence[Criterion], candidate: Evidence, incumbent: Evidence, *, min_pairs: int) -> bool:
    """Return whether a required criterion over times is missed, or each one has an answer, advisory ones too."""
    outcomes = {
        criterion.name: apply_to_bounds(criterion, candidate, incumbent, z=0.0, min_pairs=min_pairs, harm=None).outcome
        for criterion in criteria
        if criterion.metric.is_time
    }
    missed = {name for name, outcome in outcomes.items() if outcome is Outcome.FAILED}
    if any(criterion.name in missed and is_decisive(criterion, candidate) for criterion in criteria):
        return True
    return bool(outcomes) and set(outcomes.values()) <= {Outcome.PASSED, Outcome.FAILED}
