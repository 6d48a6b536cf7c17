"""A run ends where the judge's rule stops, and its record recomputes; one rule a test."""

from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from canary.client import GatewayClient
from canary.judge import case_order, judge
from canary.runner import Trier, plan_trials, run_trials
from canary.suite import Suite, load_suite
from canary.workflow import evaluate, line_up
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Outcome, Profile, Role, Rule, StopCause
from tests.support.evaluations import make_system
from tests.support.fake_gateway import FakeGateway
from tests.support.mini_suite import write_mini_suite
from tests.support.noted import Noted

CRITERIA = (
    Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8),
    # Twenty families can show 25 points: enough for a test, and for nothing else.
    Criterion(name="accuracy_vs_incumbent", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.25),
)


def suite_of(parent: Path, *, count: int, profile: Profile = "full") -> Suite:
    write_mini_suite(parent, count=count)
    suite = load_suite("mini", search_path=[parent])
    manifest = msgspec.structs.replace(suite.manifest, profile=profile, criteria=CRITERIA)
    return msgspec.structs.replace(suite, manifest=manifest)


def evaluated(parent: Path, *candidates: str, count: int = 60, profile: Profile = "full") -> Evaluation:
    fake = FakeGateway({"incumbent": "4", "good": "4", "bad": "5"})
    suite = suite_of(parent, count=count, profile=profile)
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway, ExitStack() as engines:
        lineup = line_up(gateway, gateway.deployment("tutor"), candidates)
        return evaluate(gateway, lineup, suite, engines=engines, progress=Noted())


def test_cases_run_in_the_order_in_which_they_are_judged(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, count=20)
    planned = plan_trials(suite, [make_system("incumbent", Role.INCUMBENT)])
    order = case_order([case.reference() for case in suite.cases], suite.manifest.seed)
    assert [each.case.id for each in planned] == [case.id for case in order]


def test_a_run_ends_at_the_look_at_which_all_holds(tmp_path: Path) -> None:
    evaluation = evaluated(tmp_path, "good")
    (judgement,) = evaluation.judgements
    assert judgement.verdict.outcome is Outcome.PASSED
    assert judgement.stopping is not None
    assert judgement.stopping.cause is StopCause.SUCCESS
    assert judgement.stopping.cases < 60
    assert len(evaluation.trials) == 2 * judgement.stopping.cases


def test_a_broken_candidate_ends_its_run_early(tmp_path: Path) -> None:
    evaluation = evaluated(tmp_path, "bad")
    assert evaluation.judgements[0].verdict.outcome is Outcome.FAILED
    assert len(evaluation.trials) < 2 * 15


def test_a_candidate_that_has_stopped_is_asked_no_more_while_another_goes_on(tmp_path: Path) -> None:
    evaluation = evaluated(tmp_path, "bad", "good")
    counts = {
        system.variant.name: sum(trial.variant_digest == system.variant.digest for trial in evaluation.trials)
        for system in evaluation.systems
    }
    assert counts["bad"] < 15 < counts["good"] == counts["incumbent"]
    assert [judgement.verdict.outcome for judgement in evaluation.judgements] == [Outcome.FAILED, Outcome.PASSED]


def test_an_incumbent_that_is_its_own_candidate_passes_and_never_fails(tmp_path: Path) -> None:
    (judgement,) = evaluated(tmp_path, "incumbent").judgements
    assert judgement.verdict.outcome is Outcome.PASSED


def test_trials_are_numbered_without_gaps_whatever_is_left_out(tmp_path: Path) -> None:
    evaluation = evaluated(tmp_path, "bad", "good")
    assert [trial.sequence for trial in evaluation.trials] == list(range(len(evaluation.trials)))


def test_the_record_of_a_run_that_stopped_recomputes(tmp_path: Path) -> None:
    evaluation = evaluated(tmp_path, "bad", "good")
    arrived = msgspec.json.decode(msgspec.json.encode(evaluation), type=Evaluation)
    assert judge(arrived) == evaluation.judgements


def test_profile_seed_runs_every_case(tmp_path: Path) -> None:
    evaluation = evaluated(tmp_path, "bad", count=12, profile="seed")
    assert len(evaluation.trials) == 24
    assert evaluation.judgements[0].stopping is None


@pytest.mark.parametrize("over", [0, 1, 2])
def test_a_settled_system_is_told_by_its_place_and_not_by_its_variant(tmp_path: Path, over: int) -> None:
    suite = suite_of(tmp_path, count=5)
    twins = (make_system("incumbent", Role.INCUMBENT), make_system("incumbent"), make_system("incumbent"))
    fake = FakeGateway({"incumbent": "4"})
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway:
        trials = run_trials(
            Trier(gateway, suite, model="tutor"),
            plan_trials(suite, twins),
            on_trial=Noted().on_trial,
            settled=lambda _: (over,),
        )
        assert len(list(trials)) == 3 + 2 * 4
