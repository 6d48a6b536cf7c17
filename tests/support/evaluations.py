"""Records of runs that never took place, for tests of what is made of a record."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.contracts.chat import FinishReason
from gateway.contracts.evaluations import (
    CaseRef,
    Completion,
    Criterion,
    Environment,
    ErrorCause,
    Evaluation,
    Grade,
    Metric,
    Profile,
    Role,
    SuiteRef,
    System,
    Trial,
    TrialError,
    Ungraded,
)
from gateway.contracts.host import Host, HostState
from gateway.contracts.suites import GIB, SEED_CRITERIA
from gateway.contracts.variants import EngineKind, EngineSpec, Variant

CANDIDATE_ERROR = TrialError(code="engine_crashed", message="gone", cause=ErrorCause.CANDIDATE)
INFRASTRUCTURE_ERROR = TrialError(code="queue_full", message="busy", cause=ErrorCause.INFRASTRUCTURE)
UNGRADED = Ungraded(reason="ambiguous")

Result = float | Grade | Ungraded | TrialError
"""A grade's value, a grade, or what stands in its place."""


def make_variant(name: str) -> Variant:
    return Variant(
        name=name,
        engine=EngineSpec(
            kind=EngineKind.SCRIPTED,
            path=f"/models/{name}",
            weights_digest=name,
            quantization=None,
            context_length=8192,
            max_rows=8,
            weights_bytes=0,
            kv_bytes_per_token=0,
            disk_bytes=0,
        ),
    )


def make_host(**changes: object) -> Host:
    host = Host(
        chip="a chip",
        memory_bytes=64 * GIB,
        limit_bytes=48 * GIB,
        os_version="macOS 15.5",
        state=HostState(power_source="AC Power", thermal_state="nominal", swap_used_bytes=0),
    )
    return msgspec.structs.replace(host, **changes)


def make_system(
    name: str,
    role: Role = Role.CANDIDATE,
    *,
    active_bytes: int = GIB,
    predicted_bytes: int = GIB,
    load_time_s: float = 1.0,
    dequantised: bool = False,
) -> System:
    return System(
        role=role,
        variant=make_variant(name),
        load_time_s=load_time_s,
        active_bytes=active_bytes,
        predicted_bytes=predicted_bytes,
        disk_bytes=GIB,
        dequantised=dequantised,
        device="scripted",
    )


def serving_one_at_a_time(system: System) -> System:
    """Return it with a quantised cache, which mlx-lm does not batch."""
    engine = msgspec.structs.replace(system.variant.engine, kv_bits=8)
    return msgspec.structs.replace(system, variant=msgspec.structs.replace(system.variant, engine=engine))


def make_trial(sequence: int, case_id: str, system: System, result: Result, *, generation_time_s: float = 1.0) -> Trial:
    grade = Grade(value=result, reason="as told") if isinstance(result, float | int) else result
    completion = Completion(
        text="an answer",
        finish_reason=FinishReason.STOP,
        prompt_tokens=10,
        completion_tokens=3,
        time_to_first_token_s=generation_time_s / 10,
        generation_time_s=generation_time_s,
    )
    return Trial(
        sequence=sequence,
        case_id=case_id,
        variant_digest=system.variant.digest,
        result=grade if isinstance(grade, TrialError) else completion,
        grade=Ungraded(reason="no answer") if isinstance(grade, TrialError) else grade,
    )


def make_evaluation(
    results: Mapping[str, Sequence[Result]],
    *,
    systems: Sequence[System] | None = None,
    times_s: Mapping[str, Sequence[float]] | None = None,
    categories: Sequence[str] | None = None,
    criteria: Sequence[Criterion] = SEED_CRITERIA,
    min_pairs: int = 10,
    profile: Profile = "seed",
    families: Sequence[str] | None = None,
) -> Evaluation:
    """Return a record without judgements: of each system, by name, its result on each case; the incumbent is first."""
    named = systems or [
        make_system(name, Role.CANDIDATE if position else Role.INCUMBENT) for position, name in enumerate(results)
    ]
    count = len(next(iter(results.values())))
    of_case = list(categories or ["a"] * count)
    families_of_case = list(families or [""] * count)
    trials = [
        make_trial(
            case * len(named) + position,
            f"case-{case:03}",
            system,
            results[system.variant.name][case],
            generation_time_s=(times_s or {}).get(system.variant.name, [1.0] * count)[case],
        )
        for case in range(count)
        for position, system in enumerate(named)
    ]
    return Evaluation(
        id="20260101-000000-abcdef",
        created_at="2026-01-01T00:00:00+00:00",
        model="tutor",
        deployment_revision=1,
        suite=SuiteRef(
            name="smoke",
            digest="5" * 64,
            tag=None,
            categories={category: category.upper() for category in dict.fromkeys(of_case)},
            measures=(Metric.FIELD_ACCESS,),
        ),
        profile=profile,
        criteria=tuple(criteria),
        min_pairs=min_pairs,
        seed=0,
        environment=Environment(platform="test", processor="test", memory_bytes=GIB, versions={}),
        cases=tuple(
            CaseRef(
                id=f"case-{case:03}",
                category=of_case[case],
                family=families_of_case[case],
                digest="c" * 64,
                prompt="?",
                expectation="!",
            )
            for case in range(count)
        ),
        systems=tuple(named),
        trials=tuple(trials),
        judgements=(),
    )
