"""From sources to a promotion, against a gateway in memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from canary import following
from canary.client import GatewayClient
from canary.errors import GatewayRefused, PromotionFailed, UsageError
from canary.following import CandidateStanding
from canary.judge import judge
from canary.programs.families import generate as generation
from canary.suite import load_suite
from canary.workflow import (
    Fate,
    evaluate,
    find_deployment,
    line_up,
    line_up_pair,
    promote_by_override,
    promote_winner,
    register,
    roll_back,
    without_incumbent,
)
from gateway.contracts.deployments import PromotionOutcome
from gateway.contracts.evaluations import Evaluation, Outcome, Role, Trial
from gateway.contracts.heldout import draw_digest, heldout_seed
from tests.support.fake_gateway import FakeGateway, error_response
from tests.support.mini_suite import write_mini_suite


class Notes:
    """A progress that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def on_trial(self, trial: Trial, total: int) -> None:
        del trial, total

    def on_case(self, standings: Sequence[CandidateStanding]) -> None:
        del standings


@pytest.fixture
def fake() -> FakeGateway:
    return FakeGateway(
        {"incumbent": "4", "good": "It is 4.", "small": "4", "bad": "5"}, predicted_bytes={"good": 900, "small": 500}
    )


@pytest.fixture
def gateway(fake: FakeGateway) -> Iterator[GatewayClient]:
    with GatewayClient("http://gateway.test", transport=fake.transport) as client:
        yield client


def run(gateway: GatewayClient, parent: Path, *sources: str, engines: ExitStack) -> Evaluation:
    write_mini_suite(parent)
    suite = load_suite("mini", search_path=[parent])
    lineup = line_up(gateway, find_deployment(gateway, None), sources)
    return evaluate(gateway, lineup, suite, engines=engines, progress=Notes())


def test_an_evaluation_is_recorded_as_it_is_returned(gateway: GatewayClient, fake: FakeGateway, tmp_path: Path) -> None:
    with ExitStack() as engines:
        evaluation = run(gateway, tmp_path, "good", "bad", engines=engines)
    assert fake.recorded == [evaluation]
    assert evaluation.judgements == judge(evaluation)
    assert [system.variant.name for system in evaluation.systems] == ["incumbent", "good", "bad"]
    assert [system.role for system in evaluation.systems] == [Role.INCUMBENT, Role.CANDIDATE, Role.CANDIDATE]
    assert [judgement.verdict.outcome for judgement in evaluation.judgements] == [Outcome.PASSED, Outcome.FAILED]
    assert (evaluation.model, evaluation.deployment_revision) == ("tutor", 4)


class Watching(Notes):
    """A progress that keeps how the candidates stood."""

    def __init__(self) -> None:
        super().__init__()
        self.stood: list[dict[str, int]] = []

    def on_case(self, standings: Sequence[CandidateStanding]) -> None:
        self.stood.append({each.label: each.standing.pairs for each in standings})


@pytest.mark.parametrize(("every_s", "told"), [(0.0, list(range(1, 13))), (3600.0, [1])])
def test_how_each_candidate_stands_is_told_at_once_and_then_not_too_often(
    gateway: GatewayClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, every_s: float, told: list[int]
) -> None:
    monkeypatch.setattr(following, "STANDINGS_EVERY_S", every_s)
    write_mini_suite(tmp_path)
    suite, progress = load_suite("mini", search_path=[tmp_path]), Watching()
    lineup = line_up(gateway, find_deployment(gateway, None), ["good", "bad"])
    with ExitStack() as engines:
        evaluate(gateway, lineup, suite, engines=engines, progress=progress)
    assert progress.stood == [{"good": count, "bad": count} for count in told]


def test_candidates_are_unloaded_at_the_end_and_the_incumbent_is_not(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path
) -> None:
    with ExitStack() as engines:
        run(gateway, tmp_path, "good", "bad", engines=engines)
        assert fake.loaded == {"incumbent", "good", "bad"}
    assert fake.loaded == {"incumbent"}


def test_a_candidate_that_somebody_else_had_loaded_stays_loaded(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path
) -> None:
    fake.loaded.add("good")
    with ExitStack() as engines:
        run(gateway, tmp_path, "good", engines=engines)
    assert fake.loaded == {"incumbent", "good"}


def test_of_two_that_are_compared_none_stays_loaded_that_was_not(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path
) -> None:
    write_mini_suite(tmp_path)
    suite = load_suite("mini", search_path=[tmp_path])
    lineup = line_up_pair(gateway, find_deployment(gateway, None), "good", "bad")
    with ExitStack() as engines:
        evaluation = evaluate(gateway, lineup, suite, engines=engines, progress=Notes())
        assert fake.loaded == {"incumbent", "good", "bad"}
    assert fake.loaded == {"incumbent"}
    assert [system.role for system in evaluation.systems] == [Role.INCUMBENT, Role.CANDIDATE]
    assert evaluation.compared_while == fake.views["incumbent"].digest
    assert fake.promotions == []


def test_candidates_are_unloaded_where_the_run_breaks_off(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path
) -> None:
    fake.chat = lambda _: error_response(401, "invalid_api_key")
    with pytest.raises(Exception, match="GATEWAY_API_KEY"), ExitStack() as engines:
        run(gateway, tmp_path, "good", engines=engines)
    assert fake.loaded == {"incumbent"}
    assert fake.recorded == []


def test_the_smallest_that_passed_is_promoted_and_stays_loaded(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path
) -> None:
    with ExitStack() as engines:
        evaluation = run(gateway, tmp_path, "good", "bad", "small", engines=engines)
        good, bad, small = promote_winner(gateway, evaluation)
    assert (good.fate, small.fate, bad.fate) == (Fate.PASSED, Fate.PROMOTED, Fate.REFUSED)
    assert [reason.split(":")[0] for reason in bad.reasons] == ["accuracy", "accuracy_vs_incumbent"]
    (request,) = fake.promotions
    assert (request.variant, request.evaluation_id, request.expected_revision) == (
        fake.views["small"].digest,
        evaluation.id,
        4,
    )
    assert fake.loaded == {"incumbent", "small"}


def test_a_gate_that_refuses_is_quoted(gateway: GatewayClient, fake: FakeGateway, tmp_path: Path) -> None:
    fake.refuse_promotion = "the suite is another one"
    with ExitStack() as engines:
        (good,) = promote_winner(gateway, run(gateway, tmp_path, "good", engines=engines))
    assert (good.fate, good.reasons) == (Fate.REFUSED, ("the suite is another one",))
    assert fake.loaded == {"incumbent"}


def test_a_swap_that_failed_is_quoted(gateway: GatewayClient, fake: FakeGateway, tmp_path: Path) -> None:
    fake.promotion_outcome = PromotionOutcome.FAILED
    with ExitStack() as engines:
        (good,) = promote_winner(gateway, run(gateway, tmp_path, "good", engines=engines))
    assert (good.fate, good.reasons) == (Fate.REFUSED, ("the gateway could not bring the engine into service",))


def test_a_promotion_without_an_answer_is_not_called_one(gateway: GatewayClient, fake: FakeGateway) -> None:
    lineup = line_up(gateway, find_deployment(gateway, None), ["good"])
    fake.promotion_error = httpx.RemoteProtocolError("closed")
    with pytest.raises(PromotionFailed, match="whether tutor changed is unknown, see `canary history`"):
        promote_by_override(gateway, lineup, "why not")


def test_an_engine_that_cannot_be_unloaded_is_mentioned_and_hides_nothing(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path
) -> None:
    write_mini_suite(tmp_path)
    notes = Notes()
    lineup = line_up(gateway, find_deployment(gateway, None), ["good"])
    suite = load_suite("mini", search_path=[tmp_path])
    with ExitStack() as engines:
        evaluate(gateway, lineup, suite, engines=engines, progress=notes)
        fake.refuse_unload = "a request still runs"
    assert notes.notes[-1] == f"{fake.views['good'].reference} stays loaded: a request still runs"


def test_an_incumbent_can_be_judged_against_itself_and_never_wins(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path
) -> None:
    with ExitStack() as engines:
        evaluation = run(gateway, tmp_path, "incumbent", engines=engines)
        (twin,) = promote_winner(gateway, evaluation)
    assert evaluation.judgements[0].verdict.outcome is Outcome.PASSED
    assert evaluation.judgements[0].comparisons[0].pairs == 12
    assert (twin.fate, fake.promotions) == (Fate.PASSED, [])


def test_an_override_names_its_reason_and_no_evaluation(gateway: GatewayClient, fake: FakeGateway) -> None:
    promote_by_override(gateway, line_up(gateway, find_deployment(gateway, None), ["good"]), "the old one is broken")
    (request,) = fake.promotions
    assert (request.override_reason, request.evaluation_id) == ("the old one is broken", None)


def test_a_rollback_that_is_refused_fails(gateway: GatewayClient, fake: FakeGateway) -> None:
    fake.refuse_promotion = "there is no incumbent before this one"
    with pytest.raises(PromotionFailed, match="no incumbent before"):
        roll_back(gateway, find_deployment(gateway, None))
    assert fake.promotions[0].rollback


def test_the_incumbent_is_left_out_of_a_promotion(gateway: GatewayClient) -> None:
    lineup = line_up(gateway, find_deployment(gateway, None), ["incumbent", "good"])
    notes = Notes()
    assert [view.variant.name for view in without_incumbent(lineup, notes).candidates] == ["good"]
    assert "is already the incumbent of tutor: left out" in notes.notes[0]


def test_a_promotion_of_the_incumbent_alone_is_refused_at_once(gateway: GatewayClient) -> None:
    lineup = line_up(gateway, find_deployment(gateway, None), ["incumbent"])
    with pytest.raises(PromotionFailed, match="already the incumbent of tutor: nothing to promote"):
        without_incumbent(lineup, Notes())


def test_one_variant_given_twice_is_refused(gateway: GatewayClient, fake: FakeGateway) -> None:
    with pytest.raises(UsageError, match="are one variant"):
        line_up(gateway, find_deployment(gateway, None), ["good", fake.views["good"].reference])


def test_the_deployment_must_be_named_where_there_are_several(gateway: GatewayClient, fake: FakeGateway) -> None:
    fake.deployments.append(msgspec.structs.replace(fake.deployments[0], model="coder"))
    with pytest.raises(UsageError, match=r"say which model with --for: .* has coder, tutor"):
        find_deployment(gateway, None)
    assert find_deployment(gateway, "coder").model == "coder"
    with pytest.raises(UsageError, match="deploys no model 'writer'"):
        find_deployment(gateway, "writer")


def test_a_gateway_without_deployments_is_a_mistake_of_usage(gateway: GatewayClient, fake: FakeGateway) -> None:
    fake.deployments.clear()
    with pytest.raises(UsageError, match="has none"):
        find_deployment(gateway, None)


def test_relative_paths_are_made_absolute(
    gateway: GatewayClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    for source in ("./models", "models", "../" + tmp_path.name + "/models"):
        with pytest.raises(UsageError, match=str(tmp_path / "models")):
            register(gateway, source)
    with pytest.raises(UsageError, match="no model 'absent'"):
        register(gateway, "absent")


def test_an_engine_that_is_not_ready_is_said_to_be(gateway: GatewayClient, fake: FakeGateway, tmp_path: Path) -> None:
    fake.unready = "it does not fit"
    with pytest.raises(GatewayRefused, match="it does not fit"), ExitStack() as engines:
        run(gateway, tmp_path, "good", engines=engines)


def test_every_run_of_a_model_and_suite_draws_other_held_out_cases(
    gateway: GatewayClient, fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tuple(family for family in generation.FAMILIES if family.key == "know_unit")
    monkeypatch.setattr(generation, "FAMILIES", chosen)
    manifest = write_mini_suite(tmp_path) / "suite.toml"
    categories = "".join(f'{key} = "{key}"\n' for key in "ABCDE")
    manifest.write_text(
        f'system = "{{tools}}"\n{manifest.read_text()}{categories}[heldout]\ngenerator = 2\nper_family = 2\n'
    )
    suite = load_suite("mini", search_path=[tmp_path])

    def judged() -> Evaluation:
        lineup = line_up(gateway, find_deployment(gateway, None), ["good", "bad"])
        with ExitStack() as engines:
            return evaluate(gateway, lineup, suite, engines=engines, progress=Notes())

    for campaign in (1, 2):
        evaluation = judged()
        draw = evaluation.suite.heldout
        assert draw is not None
        assert draw.campaign == campaign
        assert draw.seed == heldout_seed(suite.digest, fake.views["incumbent"].digest, campaign)
        drawn = [case for case in evaluation.cases if case.heldout]
        assert (len(drawn), len(evaluation.cases)) == (2, 14)
        assert draw.digest == draw_digest(case.digest for case in drawn)
        asked = {(trial.case_id, trial.variant_digest) for trial in evaluation.trials}
        assert len(asked) == 3 * 14
    first, second = ({case.prompt for case in evaluation.cases if case.heldout} for evaluation in fake.recorded)
    assert first != second
