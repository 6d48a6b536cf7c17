"""Judged runs for the tests of reports."""

from collections.abc import Mapping, Sequence

import msgspec

from canary.judge import judge
from gateway.contracts.evaluations import Completion, Criterion, Evaluation, Metric, Role, Rule, System
from tests.support.evaluations import Result, make_evaluation, make_system

FLOOR = Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.5)
CEILING = Criterion(name="generation_time", metric=Metric.GENERATION_TIME_S, rule=Rule.AT_MOST, bound=3.0)
MEMORY = Criterion(name="memory", metric=Metric.MEMORY_BYTES, rule=Rule.AT_MOST, bound=20 * 1024**3)
MARGIN = Criterion(name="accuracy_vs_incumbent", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05)
CRITERIA = (FLOOR, CEILING, MEMORY, MARGIN)


def judged(
    results: Mapping[str, Sequence[Result]],
    *,
    dequantised: bool = False,
    systems: Sequence[System] | None = None,
    categories: Sequence[str] | None = None,
    times_s: Mapping[str, Sequence[float]] | None = None,
    criteria: Sequence[Criterion] = CRITERIA,
) -> Evaluation:
    """Return a judged run; systems that are not given get 3, 2, 1... GiB as stored, and 4 GiB as measured."""
    made = systems or [
        make_system(
            name,
            Role.CANDIDATE if position else Role.INCUMBENT,
            predicted_bytes=(len(results) - position) * 1024**3,
            active_bytes=4 * 1024**3,
            dequantised=dequantised,
        )
        for position, name in enumerate(results)
    ]
    evaluation = make_evaluation(results, systems=made, categories=categories, criteria=criteria, times_s=times_s)
    return msgspec.structs.replace(evaluation, judgements=judge(evaluation))


def with_answers(evaluation: Evaluation, text: str) -> Evaluation:
    """Return the run with another text in every completion and every prompt."""
    return msgspec.structs.replace(
        evaluation,
        cases=tuple(msgspec.structs.replace(case, prompt=text, expectation=text) for case in evaluation.cases),
        trials=tuple(
            msgspec.structs.replace(trial, result=msgspec.structs.replace(trial.result, text=text))
            if isinstance(trial.result, Completion)
            else trial
            for trial in evaluation.trials
        ),
    )
