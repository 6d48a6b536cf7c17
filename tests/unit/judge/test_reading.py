"""Where the judge stops reading a run, and what it concludes there; one rule a test."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.judge import Watch, judge, same_judgement
from canary.judge.order import case_order
from gateway.contracts.evaluations import (
    Criterion,
    Evaluation,
    Judgement,
    Metric,
    Outcome,
    Profile,
    Rule,
    StopCause,
)
from tests.support.evaluations import CANDIDATE_ERROR, INFRASTRUCTURE_ERROR, UNGRADED, Result, make_evaluation

FLOOR = Criterion(name="floor", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
MARGIN = Criterion(name="margin", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05)


def run(
    candidate: Sequence[Result],
    incumbent: Sequence[Result] | None = None,
    *,
    criteria: Sequence[Criterion] = (FLOOR, MARGIN),
    profile: Profile = "full",
    families: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
) -> Evaluation:
    """Return a record in which the n-th results are of the n-th case of the order."""
    incumbent = incumbent if incumbent is not None else [1.0] * len(candidate)
    bare = make_evaluation(
        {"incumbent": incumbent, "candidate": candidate},
        criteria=criteria,
        profile=profile,
        families=families,
        categories=categories,
    )
    position = {case.id: place for place, case in enumerate(case_order(bare.cases, bare.seed))}
    place_of = [position[case.id] for case in bare.cases]
    return make_evaluation(
        {
            "incumbent": [incumbent[place] for place in place_of],
            "candidate": [candidate[place] for place in place_of],
        },
        criteria=criteria,
        profile=profile,
        families=families,
        categories=categories,
    )


def only(evaluation: Evaluation) -> Judgement:
    (judgement,) = judge(evaluation)
    return judgement


def outcome_of(judgement: Judgement, name: str) -> Outcome:
    return next(result.outcome for result in judgement.results if result.criterion.name == name)


def reason_of(judgement: Judgement, name: str) -> str:
    return next(result.reason for result in judgement.results if result.criterion.name == name)


def stop_of(evaluation: Evaluation) -> tuple[StopCause, int]:
    stopping = only(evaluation).stopping
    assert stopping is not None
    return stopping.cause, stopping.cases


def test_a_candidate_that_never_differs_passes_at_the_first_look_that_can_show_it() -> None:
    evaluation = run([1.0] * 400)
    assert only(evaluation).verdict.outcome is Outcome.PASSED
    assert stop_of(evaluation) == (StopCause.SUCCESS, 200)


def test_a_destroyed_candidate_is_stopped_after_a_few_cases() -> None:
    evaluation = run([0.0] * 400)
    cause, cases = stop_of(evaluation)
    assert cause is StopCause.HARM
    assert cases < 15
    assert only(evaluation).verdict.outcome is Outcome.FAILED


def test_what_lies_beyond_the_stop_changes_nothing() -> None:
    good, bad = run([1.0] * 200 + [1.0] * 200), run([1.0] * 200 + [0.0] * 200)
    assert only(good) == only(bad)


def test_success_is_concluded_at_looks_only() -> None:
    # 130 cases without a difference would pass by themselves; the rule waits for a look, and by then harm has come.
    evaluation = run([1.0] * 130 + [0.0] * 270)
    assert stop_of(evaluation)[0] is StopCause.HARM


def test_harm_counts_only_while_the_figure_misses_the_margin() -> None:
    # 12 lost cases in a row are evidence of harm, but after 388 right ones they are 3 points.
    evaluation = run([1.0] * 388 + [0.0] * 12, criteria=[MARGIN])
    assert only(evaluation).verdict.outcome is not Outcome.FAILED


def test_too_few_families_are_inconclusive_and_the_reason_says_how_many_more() -> None:
    families = [f"f{number % 25}" for number in range(400)]
    judgement = only(run([1.0] * 400, criteria=[MARGIN], families=families))
    assert judgement.verdict.outcome is Outcome.INCONCLUSIVE
    assert "65 further ones are needed" in reason_of(judgement, "margin")
    assert judgement.stopping is not None
    assert judgement.stopping.families == 25


def test_families_that_fail_together_weigh_as_one() -> None:
    # The same 12 lost cases of 400: one by one they show less than 6 points, as three families of 100 they do not.
    criterion = msgspec.structs.replace(MARGIN, bound=0.06)
    lost: list[Result] = [0.0 if number % 100 < 3 else 1.0 for number in range(400)]

    def outcome(families: Sequence[str] | None) -> Outcome:
        results = {"incumbent": [1.0] * 400, "candidate": lost}
        return only(make_evaluation(results, criteria=[criterion], profile="full", families=families)).verdict.outcome

    assert outcome(None) is Outcome.PASSED
    assert outcome([f"f{number % 100}" for number in range(400)]) is Outcome.INCONCLUSIVE


def test_a_category_that_collapses_fails_the_overall_margin_and_is_named() -> None:
    # What category b loses, category a gains: overall there is no difference.
    evaluation = make_evaluation(
        {"incumbent": [1.0] * 320 + [0.0] * 40 + [1.0] * 40, "candidate": [1.0] * 360 + [0.0] * 40},
        criteria=[MARGIN],
        profile="full",
        categories=["a"] * 360 + ["b"] * 40,
    )
    found = only(evaluation)
    assert found.verdict.outcome is Outcome.FAILED
    assert "shown to be worse in category b" in reason_of(found, "margin")


def test_of_several_proofs_of_harm_the_first_is_told() -> None:
    # The floor is advisory here, so that nothing stops before the overall loss has been shown as well.
    advisory = msgspec.structs.replace(MARGIN, required=False)
    evaluation = make_evaluation(
        {"incumbent": [1.0] * 400, "candidate": [0.0] * 400},
        criteria=[advisory],
        profile="full",
        categories=["a"] * 200 + ["b"] * 200,
    )
    assert "in category" not in reason_of(only(evaluation), "margin")


def test_a_record_without_cases_is_inconclusive() -> None:
    empty = msgspec.structs.replace(run([1.0] * 4), cases=(), trials=())
    assert only(empty).verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_handful_of_cases_is_read_to_its_end_and_inconclusive(count: int) -> None:
    assert stop_of(run([1.0] * count)) == (StopCause.HORIZON, count)
    assert only(run([1.0] * count)).verdict.outcome is Outcome.INCONCLUSIVE


def test_an_advisory_harm_is_reported_and_stops_nothing() -> None:
    advisory = msgspec.structs.replace(FLOOR, name="advisory", bound=0.999, required=False)
    judgement = only(run([1.0, 0.0] * 200, [1.0, 0.0] * 200, criteria=[MARGIN, advisory]))
    assert (outcome_of(judgement, "margin"), outcome_of(judgement, "advisory")) == (Outcome.PASSED, Outcome.FAILED)
    assert judgement.verdict.outcome is Outcome.PASSED


def test_a_run_that_broke_off_is_errored_and_not_judged_on_what_there_is() -> None:
    evaluation = run([1.0] * 400)
    whole = case_order(evaluation.cases, evaluation.seed)
    kept = {case.id for case in whole[:190]}
    broken = msgspec.structs.replace(evaluation, trials=tuple(t for t in evaluation.trials if t.case_id in kept))
    judgement = only(broken)
    assert judgement.verdict.outcome is Outcome.ERRORED
    assert judgement.stopping is not None
    assert judgement.stopping.cause is StopCause.HORIZON


def test_a_run_that_stopped_where_the_rule_stops_is_whole() -> None:
    evaluation = run([1.0] * 400)
    kept = {case.id for case in case_order(evaluation.cases, evaluation.seed)[:200]}
    short = msgspec.structs.replace(evaluation, trials=tuple(t for t in evaluation.trials if t.case_id in kept))
    assert only(short) == only(evaluation)


def test_excluded_pairs_are_counted_and_borne_up_to_two_percent() -> None:
    results: list[Result] = [1.0] * 400
    results[10] = INFRASTRUCTURE_ERROR
    judgement = only(run(results))
    assert judgement.verdict.outcome is Outcome.PASSED
    assert judgement.stopping is not None
    assert judgement.stopping.excluded == 1
    assert "left out for want of a result: 1" in reason_of(judgement, "margin")


def test_infrastructure_errors_above_two_percent_are_errored_at_the_horizon() -> None:
    results: list[Result] = [INFRASTRUCTURE_ERROR if number % 25 == 0 else 1.0 for number in range(400)]
    assert only(run(results)).verdict.outcome is Outcome.ERRORED


def test_answers_that_only_the_candidate_has_ungraded_are_borne_up_to_two_percent() -> None:
    few: list[Result] = [UNGRADED if number % 100 == 0 else 1.0 for number in range(400)]
    many: list[Result] = [UNGRADED if number % 25 == 0 else 1.0 for number in range(400)]
    assert only(run(few)).verdict.outcome is Outcome.PASSED
    assert only(run(many)).verdict.outcome is Outcome.INCONCLUSIVE
    assert "are ungraded where the incumbent's are graded" in reason_of(only(run(many)), "margin")
    assert only(run(many, many)).verdict.outcome is Outcome.PASSED


def test_errors_of_the_candidate_are_harm_like_wrong_answers() -> None:
    assert only(run([CANDIDATE_ERROR] * 400)).verdict.outcome is Outcome.FAILED


def test_grades_between_zero_and_one_are_judged_by_the_same_rule() -> None:
    grades: list[Result] = [0.5 if number % 3 else 1.0 for number in range(400)]
    assert only(run(grades, grades, criteria=[MARGIN])).verdict.outcome is Outcome.PASSED
    assert only(run([0.2] * 400, grades, criteria=[MARGIN])).verdict.outcome is Outcome.FAILED


def test_profile_quick_reads_two_hundred_cases_at_most() -> None:
    half = [float(number % 2) for number in range(400)]
    evaluation = run([1.0 - each for each in half], half, criteria=[MARGIN], profile="quick")
    judgement = only(evaluation)
    assert judgement.stopping is not None
    assert judgement.stopping.planned == 200


def test_profile_seed_has_no_stop_and_reads_all() -> None:
    judgement = only(run([1.0] * 400, profile="seed"))
    assert judgement.stopping is None
    assert judgement.results[0].n == 400


def test_an_inconclusive_criterion_says_how_many_more_cases_would_settle_it() -> None:
    lost_and_gained: list[Result] = [float(number % 7 != 0) for number in range(120)]
    incumbent: list[Result] = [float(number % 7 != 1) for number in range(120)]
    (result,) = only(run(lost_and_gained, incumbent, criteria=[MARGIN])).results
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.more_cases is not None
    assert 100 < result.more_cases < 1500
    assert "more cases would settle it" in result.reason


@pytest.mark.parametrize("wrong_every", [3, 8, 20, 1000])
def test_a_run_that_asks_after_each_case_stops_where_its_record_says(wrong_every: int) -> None:
    evaluation = run([float(number % wrong_every != 1) for number in range(120)])
    order = [case.id for case in case_order(evaluation.cases, evaluation.seed)]
    by_case = {case_id: [t for t in evaluation.trials if t.case_id == case_id] for case_id in order}
    trials, watch = [], Watch()
    for case_id in order:
        trials += by_case[case_id]
        so_far = msgspec.structs.replace(evaluation, trials=tuple(trials))
        if watch.stopped(so_far) == (True,):
            break
    assert only(msgspec.structs.replace(evaluation, trials=tuple(trials))) == only(evaluation)
    stopping = only(evaluation).stopping
    assert stopping is not None
    assert len(trials) == 2 * stopping.cases


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=60), st.data())
def test_a_record_that_travelled_stops_at_the_same_case(pairs: list[tuple[bool, bool]], data: st.DataObject) -> None:
    evaluation = run([float(a) for a, _ in pairs], [float(b) for _, b in pairs])
    judged = msgspec.structs.replace(evaluation, judgements=judge(evaluation))
    arrived = msgspec.json.decode(msgspec.json.encode(judged), type=Evaluation)
    shuffled = msgspec.structs.replace(arrived, trials=tuple(data.draw(st.permutations(arrived.trials))))
    assert judge(shuffled) == judged.judgements


def test_another_stopping_point_is_told_apart() -> None:
    judgement = only(run([1.0] * 400))
    assert judgement.stopping is not None
    forged = msgspec.structs.replace(
        judgement, stopping=msgspec.structs.replace(judgement.stopping, cases=judgement.stopping.cases - 1)
    )
    difference = same_judgement(judgement, forged)
    assert difference is not None
    assert difference.startswith("stopping point")
