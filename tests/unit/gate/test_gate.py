"""What the gate demands of an Evaluation, one rule a test."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from canary.judge import judge
from gateway.contracts.deployments import Deployment, GatePolicy
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Outcome, Rule, Verdict
from gateway.contracts.heldout import HeldoutDraw, draw_digest, heldout_seed
from gateway.contracts.host import Host, HostRecord
from gateway.gate import refusals
from tests.support.evaluations import make_evaluation, make_host, make_variant

MADE = datetime(2026, 1, 1, tzinfo=UTC)
FLOOR = Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
CEILING = Criterion(name="generation_time", metric=Metric.GENERATION_TIME_S, rule=Rule.AT_MOST, bound=3.0)
MARGIN = Criterion(name="margin", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05)
CRITERIA = (FLOOR, CEILING, MARGIN)
CANDIDATE = make_variant("b").digest
DEPLOYMENT = Deployment(
    model="tutor",
    incumbent=make_variant("a").digest,
    revision=1,
    gate=GatePolicy(suite="smoke", profile="seed", criteria=CRITERIA, max_age_s=3600.0),
)


def judged(candidate: float = 1.0, criteria: tuple[Criterion, ...] = CRITERIA) -> Evaluation:
    bare = make_evaluation({"a": [1.0] * 12, "b": [candidate] * 12}, criteria=criteria)
    return msgspec.structs.replace(bare, judgements=judge(bare))


def reasons(
    evaluation: Evaluation,
    *,
    candidate: str = CANDIDATE,
    deployment: Deployment = DEPLOYMENT,
    now: datetime = MADE + timedelta(minutes=1),
    host: Host | None = None,
) -> tuple[str, ...]:
    return refusals(evaluation, candidate_digest=candidate, deployment=deployment, now=now, host=host)


def with_gate(**changes: object) -> Deployment:
    return msgspec.structs.replace(DEPLOYMENT, gate=msgspec.structs.replace(DEPLOYMENT.gate, **changes))


def only(found: tuple[str, ...]) -> str:
    (reason,) = found
    return reason


def test_an_evaluation_that_shows_what_is_asked_is_let_through() -> None:
    assert reasons(judged()) == ()


def test_a_candidate_that_is_the_incumbent_is_refused() -> None:
    deployment = msgspec.structs.replace(DEPLOYMENT, incumbent=CANDIDATE)
    assert "the candidate is the incumbent already" in reasons(judged(), deployment=deployment)


def test_another_incumbent_model_or_revision_is_refused() -> None:
    changed = msgspec.structs.replace(DEPLOYMENT, incumbent="0" * 64)
    assert "was made against a@" in only(reasons(judged(), deployment=changed))
    assert "revision 1" in only(reasons(judged(), deployment=msgspec.structs.replace(DEPLOYMENT, revision=2)))
    assert "not of other" in only(reasons(judged(), deployment=msgspec.structs.replace(DEPLOYMENT, model="other")))


def test_another_suite_digest_or_subset_is_refused() -> None:
    assert "asks for phase26" in only(reasons(judged(), deployment=with_gate(suite="phase26")))
    assert "has changed" in only(reasons(judged(), deployment=with_gate(suite_digest="e" * 64)))
    assert reasons(judged(), deployment=with_gate(suite_digest="5" * 64)) == ()
    assert "the cases tagged demo" in only(reasons(judged(), deployment=with_gate(tag="demo")))
    subset = msgspec.structs.replace(judged(), suite=msgspec.structs.replace(judged().suite, tag="demo"))
    assert "asks for the whole suite" in only(reasons(subset))
    assert reasons(subset, deployment=with_gate(tag="demo")) == ()


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_weaker_absent_advisory_or_other_criterion_is_refused(criterion: Criterion) -> None:
    def replaced(by: Criterion | None) -> tuple[str, ...]:
        changed = (by if it is criterion else it for it in CRITERIA)
        return reasons(judged(criteria=tuple(it for it in changed if it is not None)))

    looser = -0.01 if criterion.rule is Rule.AT_LEAST else 0.01
    assert "weaker" in only(replaced(msgspec.structs.replace(criterion, bound=criterion.bound + looser)))
    assert replaced(msgspec.structs.replace(criterion, bound=criterion.bound - looser)) == ()
    assert "does not judge the criterion" in only(replaced(None))
    assert "advisory" in only(replaced(msgspec.structs.replace(criterion, required=False)))
    assert "another rule" in only(replaced(msgspec.structs.replace(criterion, category="a")))


def test_a_bound_that_is_no_number_is_weaker() -> None:
    nan = msgspec.structs.replace(FLOOR, bound=float("nan"))
    assert any("weaker" in reason for reason in reasons(judged(criteria=(nan, CEILING, MARGIN))))


def test_a_criterion_that_the_policy_only_advises_may_be_advisory() -> None:
    advised = msgspec.structs.replace(CEILING, required=False)
    gate = with_gate(criteria=(FLOOR, advised, MARGIN))
    assert reasons(judged(criteria=(FLOOR, advised, MARGIN)), deployment=gate) == ()


def test_a_verdict_on_fewer_pairs_than_the_gate_asks_for_is_refused() -> None:
    found = only(reasons(judged(), deployment=with_gate(min_pairs=judged().min_pairs + 1)))
    assert (
        found == f"the evaluation decides on {judged().min_pairs} pairs, and the gate asks for {judged().min_pairs + 1}"
    )


def test_an_old_or_future_evaluation_is_refused() -> None:
    assert reasons(judged(), now=MADE + timedelta(hours=1)) == ()
    assert "the gate allows 1.0 h" in only(reasons(judged(), now=MADE + timedelta(hours=1, seconds=1)))
    assert reasons(judged(), now=MADE - timedelta(seconds=59)) == ()
    assert "future" in only(reasons(judged(), now=MADE - timedelta(seconds=61)))


@pytest.mark.parametrize("created_at", ["", "yesterday", "2026-01-01T00:00:00"])
def test_a_time_that_cannot_be_placed_is_refused(created_at: str) -> None:
    assert "the evaluation's time" in only(reasons(msgspec.structs.replace(judged(), created_at=created_at)))


def test_another_zone_is_the_same_time() -> None:
    assert reasons(msgspec.structs.replace(judged(), created_at="2026-01-01T01:00:00+01:00")) == ()


def test_a_failed_verdict_is_refused_with_what_decided_it() -> None:
    assert only(reasons(judged(candidate=0.0))) == "the verdict is failed, decided by accuracy, margin"


def test_a_candidate_that_was_not_judged_is_refused() -> None:
    assert "does not judge" in only(reasons(judged(), candidate="0" * 64))
    assert "does not judge" in only(reasons(msgspec.structs.replace(judged(), judgements=())))


def test_a_verdict_that_does_not_follow_from_the_trials_is_refused() -> None:
    honest = judged(candidate=0.0)
    passed = Verdict(outcome=Outcome.PASSED, decided_by=("accuracy",))
    forged = msgspec.structs.replace(
        honest, judgements=(msgspec.structs.replace(honest.judgements[0], verdict=passed),)
    )
    assert "does not follow from the recorded trials" in only(reasons(forged))
    borrowed = msgspec.structs.replace(honest, judgements=judged().judgements)
    assert "does not follow from the recorded trials" in only(reasons(borrowed))


def test_a_record_that_contradicts_itself_is_refused() -> None:
    whole = judged()
    doubled = msgspec.structs.replace(whole, trials=(*whole.trials, whole.trials[0]))
    assert "does not follow from the recorded trials" in only(reasons(doubled))


def test_a_record_of_nothing_is_refused_and_not_a_crash() -> None:
    empty = msgspec.structs.replace(judged(), systems=(), trials=(), judgements=())
    assert len(reasons(empty)) == 2


def test_a_comparison_promotes_nothing_even_where_its_reference_serves_by_now() -> None:
    compared = msgspec.structs.replace(judged(), compared_while="0" * 64)
    assert "compares two variants" in only(reasons(compared))


def test_every_reason_is_told_at_once() -> None:
    evaluation = msgspec.structs.replace(judged(candidate=0.0), model="other", deployment_revision=9)
    assert len(reasons(evaluation, now=MADE + timedelta(days=2))) == 4


# --- held-out cases


def with_draw(evaluation: Evaluation, *, per_family: int = 3, **changes: object) -> Evaluation:
    """Return the evaluation with its last four cases drawn, and the draw changed where a test says so."""
    cases = tuple(
        msgspec.structs.replace(case, digest=f"{number:064}", heldout=number >= len(evaluation.cases) - 4)
        for number, case in enumerate(evaluation.cases)
    )
    draw = HeldoutDraw(
        campaign=2,
        seed=heldout_seed(evaluation.suite.digest, evaluation.incumbent.variant.digest, 2),
        generator=1,
        per_family=per_family,
        digest=draw_digest(case.digest for case in cases if case.heldout),
    )
    suite = msgspec.structs.replace(evaluation.suite, heldout=msgspec.structs.replace(draw, **changes))
    return msgspec.structs.replace(evaluation, cases=cases, suite=suite)


def test_a_draw_that_follows_from_the_record_is_let_through() -> None:
    assert reasons(with_draw(judged()), deployment=with_gate(heldout_per_family=3)) == ()
    assert reasons(with_draw(judged())) == ()


def test_fewer_held_out_cases_than_the_gate_asks_for_are_refused() -> None:
    gate = with_gate(heldout_per_family=3)
    assert only(reasons(judged(), deployment=gate)).startswith("the evaluation drew 0 held-out cases of a family")
    assert "drew 2 held-out" in only(reasons(with_draw(judged(), per_family=2), deployment=gate))


def test_a_gate_whose_tag_leaves_them_out_asks_for_none() -> None:
    subset = msgspec.structs.replace(judged(), suite=msgspec.structs.replace(judged().suite, tag="public"))
    assert reasons(subset, deployment=with_gate(heldout_per_family=3, tag="public")) == ()
    drawn = msgspec.structs.replace(judged(), suite=msgspec.structs.replace(judged().suite, tag="heldout"))
    assert "drew 0" in only(reasons(drawn, deployment=with_gate(heldout_per_family=3, tag="heldout")))


@pytest.mark.parametrize(
    ("change", "words"), [({"seed": 5}, "seed"), ({"campaign": 3}, "seed"), ({"digest": "0"}, "not those")]
)
def test_a_draw_that_does_not_follow_from_the_record_is_refused(change: dict[str, Any], words: str) -> None:
    assert words in only(reasons(with_draw(judged(), **change)))


def test_a_held_out_case_more_or_less_is_refused() -> None:
    whole = with_draw(judged())
    marked = tuple(msgspec.structs.replace(case, heldout=True) for case in whole.cases)
    assert "not those that were drawn" in only(reasons(msgspec.structs.replace(whole, cases=marked)))


def test_held_out_cases_without_a_draw_are_refused() -> None:
    whole = with_draw(judged())
    undeclared = msgspec.structs.replace(whole, suite=msgspec.structs.replace(whole.suite, heldout=None))
    assert "does not say how they were drawn" in only(reasons(undeclared))


def on_host(start: Host, end: Host) -> Evaluation:
    evaluation = judged()
    environment = msgspec.structs.replace(evaluation.environment, host=HostRecord(start=start, end=end))
    return msgspec.structs.replace(evaluation, environment=environment)


def test_an_evaluation_of_another_machine_is_refused_and_one_that_names_none_is_let_be() -> None:
    here, there = make_host(), make_host(chip="Apple M9")
    assert reasons(on_host(here, here), host=here) == ()
    assert reasons(judged(), host=here) == ()
    assert "made on another machine (Apple M9, macOS 15.5" in only(reasons(on_host(there, there), host=here))
    assert "ended on another" in only(reasons(on_host(here, there), host=here))


@pytest.mark.parametrize("change", [{"tag": "easy"}, {"concurrency": 4}])
def test_a_criterion_over_another_subgroup_is_another_rule(change: dict[str, Any]) -> None:
    timed = msgspec.structs.replace(CEILING, **change)
    demanded = with_gate(criteria=(FLOOR, timed, MARGIN))
    assert "is another rule than the gate's" in only(reasons(judged(), deployment=demanded))


def test_one_request_at_a_time_is_meant_where_no_concurrency_is_named() -> None:
    demanded = with_gate(criteria=(FLOOR, msgspec.structs.replace(CEILING, concurrency=1), MARGIN))
    assert reasons(judged(), deployment=demanded) == ()


def test_a_further_criterion_of_the_evaluations_own_is_no_shortcoming() -> None:
    further = msgspec.structs.replace(CEILING, name="further", bound=9.0)
    assert reasons(judged(criteria=(*CRITERIA, further))) == ()
