"""A run under profile `full` that never took place, with all that a report can show."""

import functools
import random
from collections.abc import Sequence

import msgspec

from canary.judge import case_order, judge
from gateway.contracts.evaluations import (
    CaseRef,
    Completion,
    Criterion,
    Environment,
    Evaluation,
    Grade,
    Metric,
    Role,
    Rule,
    Statistic,
    System,
    Trial,
    Ungraded,
)
from gateway.contracts.fidelity import FidelityRecord, GoldenScore
from gateway.contracts.host import Host, HostRecord
from gateway.contracts.latency import LatencyBlock
from gateway.contracts.memory import ContextReading, MemoryReading, MemoryRecord
from gateway.contracts.suites import GIB, MEMORY_CRITERIA
from gateway.contracts.variants import EngineKind, Quantization
from tests.support.evaluations import CANDIDATE_ERROR, make_evaluation, make_host, make_system, make_trial
from tests.support.timed_blocks import answer, block, with_blocks

CASES = 160
CATEGORIES = {"facts": "Facts", "sums": "Sums", "fields": "Field access", "steps": "Multi-step work"}
CRITERIA = (
    Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.80),
    Criterion(name="accuracy_vs_incumbent", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05),
    Criterion(name="facts_floor", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.75, category="facts"),
    Criterion(
        name="no_slower",
        metric=Metric.END_TO_END_S,
        rule=Rule.NO_WORSE_THAN,
        bound=0.1,
        statistic=Statistic.RATIO,
    ),
    Criterion(name="memory", metric=Metric.MEMORY_BYTES, rule=Rule.AT_MOST, bound=24 * GIB),
    *MEMORY_CRITERIA,
)
_QUESTIONS = (
    ("Which city is the capital of country {0}?", "City {0}", "The capital is City {0}.", "I believe it is City {1}."),
    ("What is {0} + {1}?", "{2}", "{0} + {1} = {2}.", "{0} + {1} = {3}."),
    (
        "Sum the totals of the open invoices of customer {0}.",
        "the sum of `total` where `status` is open",
        '```python\nrows = list_invoices(customer={0})\nresult = sum(row["total"] for row in rows if row["status"] == '
        '"open")\n```',
        '```python\nrows = list_invoices(customer={0})\nresult = sum(row["amount"] for row in rows)\n```',
    ),
    (
        "Move each file of folder {0} that is older than a year, then say how many were moved.",
        "the same moves as the oracle's, and {2}",
        "I moved the files that are older than a year.\nMoved: {2}",
        "I moved all files.\nMoved: {3}",
    ),
)
_WRONG = {"8bit": (3, 17, 41, 98, 130), "5bit": (3, 17, 52, 98), "4bit": (3, 17, 41, 98)}
_CRASHED = 149
"""The case that takes the 4-bit build down."""
_SPEED = {"8bit": 1.0, "5bit": 0.68, "4bit": 0.61}
_GIB_OF = {"8bit": 20, "5bit": 13, "4bit": 10.5}


@functools.cache
def full_run() -> Evaluation:
    """Return a judged run of an 8-bit incumbent and two candidates: 5 bits pass, 4 bits have lost the field access."""
    names = [f"tutor-30b-{bits}" for bits in _SPEED]
    systems = [_system(name, position) for position, name in enumerate(names)]
    evaluation = make_evaluation(
        {name: [1.0] * CASES for name in names},
        systems=systems,
        categories=[list(CATEGORIES)[case % 4] for case in range(CASES)],
        families=[f"family-{3 * case // 4:03}" for case in range(CASES)],
        criteria=CRITERIA,
        profile="full",
    )
    evaluation = msgspec.structs.replace(
        evaluation,
        id="20261128-101500-c0ffee",
        created_at="2026-11-28T10:15:00+00:00",
        suite=msgspec.structs.replace(evaluation.suite, categories=CATEGORIES),
        environment=_environment(),
        cases=tuple(_case(number, case) for number, case in enumerate(evaluation.cases)),
        trials=tuple(_trials(systems)),
        memory=tuple(_memory(position, bits) for position, bits in enumerate(_SPEED)),
        fidelity=tuple(_fidelity(system, systems[0], bits) for system, bits in zip(systems[1:], (5, 4), strict=True)),
    )
    evaluation = _stopped_early(evaluation, systems[2])
    evaluation = with_blocks(evaluation, _blocks(), output_tokens=32, host=_host().digest)
    return msgspec.structs.replace(evaluation, judgements=judge(evaluation))


def _system(name: str, position: int) -> System:
    bits = int(name[-4])
    size = round(_GIB_OF[f"{bits}bit"] * GIB)
    system = make_system(
        name,
        Role.CANDIDATE if position else Role.INCUMBENT,
        active_bytes=size,
        predicted_bytes=size,
        load_time_s=3 + bits / 2,
    )
    engine = msgspec.structs.replace(
        system.variant.engine,
        kind=EngineKind.MLX,
        quantization=Quantization(bits=bits, group_size=64),
        weights_bytes=size,
        kv_bytes_per_token=98_304,
    )
    variant = msgspec.structs.replace(system.variant, engine=engine)
    return msgspec.structs.replace(system, variant=variant, disk_bytes=size, device="a chip, Metal")


def _stopped_early(evaluation: Evaluation, system: System) -> Evaluation:
    """Drop the trials of a candidate that came after the rule had stopped for it."""
    tried = {case.id for case in case_order(evaluation.cases, evaluation.seed)[:90]}
    return msgspec.structs.replace(
        evaluation,
        trials=tuple(
            trial
            for trial in evaluation.trials
            if trial.variant_digest != system.variant.digest or trial.case_id in tried
        ),
    )


def _host() -> Host:
    return make_host(memory_bytes=64 * GIB, limit_bytes=30 * GIB)


def _environment() -> Environment:
    versions = {"gateway-canary": "0.1.0", "mlx": "0.32.4", "mlx-lm": "0.32.2"}
    return Environment(
        platform="macOS-15.5-arm64",
        processor="arm",
        memory_bytes=64 * GIB,
        versions=versions,
        host=HostRecord(start=_host(), end=_host(), kept_awake_by="caffeinate"),
    )


def _case(number: int, case: CaseRef) -> CaseRef:
    prompt, expectation, _, _ = _words(number)
    return msgspec.structs.replace(case, id=f"{case.category}-{number:03}", prompt=prompt, expectation=expectation)


def _words(number: int) -> tuple[str, ...]:
    total = 2 * number + 1
    return tuple(
        text.replace("{0}", str(number))
        .replace("{1}", str(number + 1))
        .replace("{2}", str(total))
        .replace("{3}", str(total + 10))
        for text in _QUESTIONS[number % 4]
    )


def _trials(systems: Sequence[System]) -> list[Trial]:
    return [
        _trial(number * len(systems) + position, number, system)
        for number in range(CASES)
        for position, system in enumerate(systems)
    ]


def _trial(sequence: int, number: int, system: System) -> Trial:
    bits = system.variant.name[-4:]
    case_id = f"{list(CATEGORIES)[number % 4]}-{number:03}"
    if bits == "4bit" and number == _CRASHED:
        return make_trial(sequence, case_id, system, CANDIDATE_ERROR)
    lost_fields = bits == "4bit" and number % 4 == 2 and number % 12 != 2
    is_right = number not in _WRONG[bits] and not lost_fields
    reason = "holds what was asked for" if is_right else f"expected {_words(number)[1]}"
    trial = make_trial(sequence, case_id, system, Grade(value=float(is_right), reason=reason))
    assert isinstance(trial.result, Completion)
    text = _words(number)[2 if is_right else 3]
    grade = Ungraded(reason="two programs in one answer") if number == CASES - 1 else trial.grade
    return msgspec.structs.replace(trial, result=msgspec.structs.replace(trial.result, text=text), grade=grade)


def _blocks() -> list[LatencyBlock]:
    """Return eight cycles at 1 and at 4 requests, with noise that is drawn alike each time."""
    noise = random.Random(7)  # noqa: S311 - times of a test
    blocks: list[LatencyBlock] = []
    for cycle in range(8):
        for concurrency in (1, 4):
            for system in (0, 1, 2, 2, 1, 0):
                speed = list(_SPEED.values())[system] * (1 if concurrency == 1 else 2.1)
                answers = [
                    answer(
                        f"facts-{4 * (2 * cycle + turn):03}",
                        speed * (1.6 + 0.02 * turn) * (1 + abs(noise.gauss(0, 0.06))),
                        completion_tokens=32,
                    )
                    for turn in range(2)
                ]
                blocks.append(
                    block(system, cycle, answers, concurrency=concurrency, batch_rows=1.0 if concurrency == 1 else 3.6)
                )
    return blocks


def _memory(position: int, bits: str) -> MemoryRecord:
    weights = _GIB_OF[bits] * GIB

    def reading(tokens: int, kept: float = 0.0) -> MemoryReading:
        cache = 98_304 * tokens
        return MemoryReading(
            active_bytes=round(weights + 0.1 * GIB + kept),
            cache_bytes=round(0.3 * cache),
            peak_bytes=round(weights + 0.4 * GIB + cache),
            footprint_bytes=round(weights + 0.6 * GIB + cache),
        )

    return MemoryRecord(
        system=position,
        limit_bytes=30 * GIB,
        context_tokens=32_768,
        steady=reading(64),
        contexts=tuple(
            ContextReading(tokens=tokens, reading=reading(tokens)) for tokens in (2048, 8192, 16_384, 32_768)
        ),
        after_request=tuple(reading(128, kept=40_000 * (number % 5)) for number in range(24)),
        swap_before_bytes=0,
        swap_after_bytes=0,
        load_time_cold_s=12.0 if position else None,
        load_time_warm_s=4.0 if position else None,
        production_requests=0,
    )


def _fidelity(system: System, reference: System, bits: int) -> FidelityRecord:
    kl, same = (2.0, 98) if bits == 5 else (21.0, 84)
    scores = tuple(
        GoldenScore(
            case_id=f"facts-{4 * number:03}",
            family=f"family-{number}",
            answer_bytes=300,
            token_count=100,
            kl_nats=kl,
            kl_max_nats=kl / 4,
            same_top_count=same,
            flip_count=100 - same,
            decision_count=20,
            decision_same_top_count=round(same / 5),
            candidate_logprob=-12.0,
            reference_logprob=-11.0,
        )
        for number in range(24)
    )
    return FidelityRecord(
        variant_digest=system.variant.digest,
        reference_digest=reference.variant.digest,
        against="incumbent",
        top_k=64,
        answers=scores,
    )
