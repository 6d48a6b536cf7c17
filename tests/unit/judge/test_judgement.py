import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.judge import InconsistentRecord, judge, same_judgement
from gateway.contracts.evaluations import Evaluation, Grade, Judgement, Metric, Outcome, Role
from gateway.contracts.suites import GIB
from tests.support.evaluations import (
    CANDIDATE_ERROR,
    INFRASTRUCTURE_ERROR,
    UNGRADED,
    Result,
    make_evaluation,
    make_system,
)

results = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 1.0]),
    st.just(UNGRADED),
    st.just(CANDIDATE_ERROR),
    st.just(INFRASTRUCTURE_ERROR),
)


@st.composite
def evaluations(draw: st.DrawFn) -> Evaluation:
    n = draw(st.integers(1, 30))
    rows = st.lists(results, min_size=n, max_size=n)
    return make_evaluation(
        {"incumbent": draw(rows), "one": draw(rows), "two": draw(rows)},
        categories=draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n)),
    )


def numbers(judgement: Judgement) -> list[float]:
    """Return every number of a judgement."""
    levels = [level for each in judgement.comparisons for level in (each.candidate, each.incumbent)]
    found = [number for level in levels for number in (level.value, level.low, level.high)]
    for comparison in judgement.comparisons:
        found += [comparison.difference, comparison.difference_low, comparison.difference_high]
    for result in judgement.results:
        found += [result.observed, result.low, result.high]
    return [number for number in found if number is not None]


@given(evaluations())
def test_no_number_of_a_judgement_is_nan_or_infinite(evaluation: Evaluation) -> None:
    for judgement in judge(evaluation):
        assert all(math.isfinite(number) for number in numbers(judgement))


@given(evaluations())
def test_every_interval_holds_its_figure(evaluation: Evaluation) -> None:
    for judgement in judge(evaluation):
        for result in judgement.results:
            if result.observed is not None and result.low is not None and result.high is not None:
                assert result.low <= result.observed + 1e-12
                assert result.high >= result.observed - 1e-12


@given(evaluations())
def test_a_record_that_travelled_is_judged_the_same(evaluation: Evaluation) -> None:
    judged = msgspec.structs.replace(evaluation, judgements=judge(evaluation))
    arrived = msgspec.json.decode(msgspec.json.encode(judged), type=Evaluation)
    for recorded, recomputed in zip(arrived.judgements, judge(arrived), strict=True):
        assert same_judgement(recorded, recomputed) is None
        assert recorded == recomputed


@given(evaluations(), st.data())
def test_the_order_of_the_trials_in_the_record_changes_nothing(evaluation: Evaluation, data: st.DataObject) -> None:
    shuffled = msgspec.structs.replace(evaluation, trials=tuple(data.draw(st.permutations(evaluation.trials))))
    assert judge(shuffled) == judge(evaluation)


@given(st.lists(st.booleans(), min_size=10, max_size=40), st.data())
def test_one_more_right_answer_never_worsens_the_verdict(answers: list[bool], data: st.DataObject) -> None:
    incumbent: list[Result] = [1.0] * len(answers)
    before: list[Result] = [float(answer) for answer in answers]
    after = list(before)
    after[data.draw(st.integers(0, len(answers) - 1))] = 1.0
    (worse,) = judge(make_evaluation({"incumbent": incumbent, "candidate": before}))
    (better,) = judge(make_evaluation({"incumbent": incumbent, "candidate": after}))
    for one, other in zip(worse.results, better.results, strict=True):
        if one.criterion.metric is not Metric.FIELD_ACCESS:
            assert other.outcome.severity <= one.outcome.severity


def test_an_incumbent_that_is_its_own_candidate_has_two_trials_a_case() -> None:
    twins = [make_system("twin", Role.INCUMBENT), make_system("twin")]
    evaluation = make_evaluation({"twin": [1.0] * 12}, systems=twins)
    (judgement,) = judge(evaluation)
    accuracy = judgement.comparisons[0]
    assert (accuracy.pairs, accuracy.candidate.n, accuracy.incumbent.n, accuracy.difference) == (12, 12, 12, 0.0)


def test_comparisons_come_in_the_order_of_the_report() -> None:
    fields = Grade(value=1.0, reason="all", measures={Metric.FIELD_ACCESS: 1.0})
    evaluation = make_evaluation({"incumbent": [fields] * 4, "candidate": [fields] * 4}, categories=list("abab"))
    (judgement,) = judge(evaluation)
    assert [(comparison.metric, comparison.category) for comparison in judgement.comparisons] == [
        (Metric.ACCURACY, None),
        (Metric.ACCURACY, "a"),
        (Metric.ACCURACY, "b"),
        (Metric.FIELD_ACCESS, None),
        (Metric.GENERATION_TIME_S, None),
        (Metric.TIME_TO_FIRST_TOKEN_S, None),
        (Metric.MEMORY_BYTES, None),
        (Metric.LOAD_TIME_S, None),
        (Metric.DISK_BYTES, None),
    ]


def seed_run(*, wrong: int, wrong_fields: int, generation_time_s: float, memory_gib: float) -> Judgement:
    """Judge one of the seed's systems: 25 queries, the first 5 of them without fields, against the 6-bit build."""
    right = Grade(value=1.0, reason="right", measures={Metric.FIELD_ACCESS: 1.0})
    missed = Grade(value=0.0, reason="wrong", measures={Metric.FIELD_ACCESS: 0.0})

    def answers(wrong: int) -> list[Result]:
        return [*[1.0] * 5, *[missed] * wrong, *[right] * (20 - wrong)]

    assert wrong == wrong_fields  # in the seed, field access is accuracy without the 5 discrimination queries
    active_bytes = round(memory_gib * GIB)
    (judgement,) = judge(
        make_evaluation(
            {"six-bit": answers(3), "candidate": answers(wrong)},
            systems=[make_system("six-bit", Role.INCUMBENT), make_system("candidate", active_bytes=active_bytes)],
            times_s={"candidate": [generation_time_s] * 25},
        )
    )
    return judgement


@pytest.mark.parametrize(
    ("wrong", "time_s", "memory_gib", "outcome", "decided_by"),
    [
        (
            2,
            2.53,
            19.55,
            Outcome.PASSED,
            ("accuracy", "field_access", "generation_time", "memory", "accuracy_vs_incumbent"),
        ),
        (3, 5.76, 23.11, Outcome.FAILED, ("generation_time", "memory")),
        (19, 2.47, 19.55, Outcome.FAILED, ("accuracy", "field_access", "accuracy_vs_incumbent")),
    ],
    ids=["phase 26, 5-bit", "phase 26, 6-bit", "phase 23, 5-bit"],
)
def test_the_seeds_systems_get_the_seeds_verdicts(
    wrong: int, time_s: float, memory_gib: float, outcome: Outcome, decided_by: tuple[str, ...]
) -> None:
    judgement = seed_run(wrong=wrong, wrong_fields=wrong, generation_time_s=time_s, memory_gib=memory_gib)
    assert (judgement.verdict.outcome, judgement.verdict.decided_by) == (outcome, decided_by)


def test_the_seeds_winner_differs_from_the_6_bit_build_by_one_query_and_no_evidence() -> None:
    judgement = seed_run(wrong=2, wrong_fields=2, generation_time_s=2.53, memory_gib=19.55)
    accuracy = judgement.comparisons[0]
    assert (accuracy.candidate.value, accuracy.incumbent.value, accuracy.difference) == (0.92, 0.88, 0.04)
    assert accuracy.difference_low == pytest.approx(-0.099, abs=5e-4)
    assert accuracy.difference_high == pytest.approx(0.195, abs=5e-4)


def test_a_record_with_a_foreign_trial_is_inconsistent() -> None:
    evaluation = make_evaluation({"incumbent": [1.0], "candidate": [1.0]})
    foreign = msgspec.structs.replace(evaluation.trials[0], variant_digest="f" * 64)
    with pytest.raises(InconsistentRecord, match="has no system"):
        judge(msgspec.structs.replace(evaluation, trials=(foreign,)))


def test_a_record_with_a_trial_of_no_case_is_inconsistent() -> None:
    evaluation = make_evaluation({"incumbent": [1.0], "candidate": [1.0]})
    with pytest.raises(InconsistentRecord, match="which is not in the record"):
        judge(msgspec.structs.replace(evaluation, cases=()))


def test_a_second_trial_of_one_case_is_inconsistent() -> None:
    evaluation = make_evaluation({"incumbent": [1.0], "candidate": [1.0]})
    again = msgspec.structs.replace(evaluation.trials[-1], sequence=99)
    with pytest.raises(InconsistentRecord, match="has one for that case"):
        judge(msgspec.structs.replace(evaluation, trials=(*evaluation.trials, again)))


def test_a_record_without_systems_is_inconsistent() -> None:
    evaluation = make_evaluation({"incumbent": [1.0], "candidate": [1.0]})
    with pytest.raises(InconsistentRecord, match="no incumbent"):
        judge(msgspec.structs.replace(evaluation, systems=(), trials=()))


def test_a_grade_above_one_is_inconsistent() -> None:
    with pytest.raises(InconsistentRecord, match=r"outside \[0, 1\]"):
        judge(make_evaluation({"incumbent": [1.0], "candidate": [1.5]}))


def judged() -> Judgement:
    (judgement,) = judge(make_evaluation({"incumbent": [1.0] * 20, "candidate": [1.0] * 18 + [0.0] * 2}))
    return judgement


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("variant_digest",), "0", "variant"),
        (("verdict", "outcome"), "passed", "verdict"),
        (("verdict", "decided_by"), [], "deciding criteria"),
        (("results",), [], "number of criteria"),
        (("comparisons",), [], "number of comparisons"),
        (("results", 0, "outcome"), "failed", "criterion accuracy: outcome"),
        (("results", 0, "required"), False, "criterion accuracy: required"),
        (("results", 0, "n"), 21, "criterion accuracy: n"),
        (("results", 0, "observed"), 0.91, "criterion accuracy: observed"),
        (("results", 0, "low"), None, "criterion accuracy: low"),
        (("results", 0, "criterion", "bound"), 0.1, "criterion accuracy"),
        (("comparisons", 0, "pairs"), 19, "comparison accuracy: pairs"),
        (("comparisons", 1, "category"), "z", "comparison accuracy of category a"),
        (("comparisons", 0, "candidate", "value"), 0.91, "comparison accuracy: candidate, value"),
        (("comparisons", 0, "difference_high"), 0.5, "comparison accuracy: difference, high"),
    ],
)
def test_a_changed_judgement_is_told_apart_and_the_place_is_named(
    path: tuple[str | int, ...], value: object, words: str
) -> None:
    forged = msgspec.to_builtins(judged())
    place = forged
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    difference = same_judgement(judged(), msgspec.convert(forged, Judgement))
    assert difference is not None
    assert difference.startswith(f"{words}: ")


def test_the_last_digits_of_an_interval_may_differ() -> None:
    judgement = judged()
    result = judgement.results[0]
    assert result.low is not None
    nearly = msgspec.structs.replace(result, low=result.low * (1 + 1e-12), reason="in other words")
    assert (
        same_judgement(judgement, msgspec.structs.replace(judgement, results=(nearly, *judgement.results[1:]))) is None
    )
