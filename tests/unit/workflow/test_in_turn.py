"""Systems that do not fit beside each other: who has the memory when, and what a loan's end costs."""

from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from canary.client import GatewayClient
from canary.errors import GatewayRefused
from canary.judge import judge
from canary.suite import Suite, load_suite
from canary.workflow import RunOptions, evaluate, line_up, line_up_pair
from gateway.contracts.admin import LoanRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Mode, Outcome, TrialError
from gateway.contracts.suites import LatencyProtocol, Protocol
from tests.support.fake_gateway import FakeGateway, error_response
from tests.support.mini_suite import write_mini_suite
from tests.support.noted import Noted


@pytest.fixture
def fake() -> FakeGateway:
    fake = FakeGateway({"incumbent": "4", "good": "4", "bad": "5"})
    fake.fits_one = True
    return fake


def suite_of(parent: Path, *, latency: LatencyProtocol | None = None) -> Suite:
    write_mini_suite(parent)
    suite = load_suite("mini", search_path=[parent])
    protocol = Protocol(warm_up_count=1, latency=latency)
    return msgspec.structs.replace(suite, manifest=msgspec.structs.replace(suite.manifest, protocol=protocol))


def told(
    fake: FakeGateway, suite: Suite, *candidates: str, mode: Mode | None = None, window_s: float | None = None
) -> tuple[Evaluation, list[str]]:
    progress = Noted()
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway, ExitStack() as engines:
        lineup = line_up(gateway, fake.deployments[0], candidates)
        options = RunOptions(mode=mode, window_s=window_s)
        evaluation = evaluate(gateway, lineup, suite, engines=engines, progress=progress, options=options)
    return evaluation, progress.notes


def test_the_budget_says_before_anything_is_loaded_that_they_run_in_turn(tmp_path: Path, fake: FakeGateway) -> None:
    evaluation, notes = told(fake, suite_of(tmp_path), "good", "bad")
    assert evaluation.mode is Mode.SWAP
    assert any("are more than" in note for note in notes)
    assert {(loan.for_s, loan.turn_away) for loan in fake.loans} == {(30.0, False)}
    assert [judgement.verdict.outcome for judgement in evaluation.judgements] == [Outcome.PASSED, Outcome.FAILED]
    assert len(evaluation.trials) == 3 * 12
    assert judge(evaluation) == evaluation.judgements
    assert (fake.lent, fake.loaded) == (None, {"incumbent"})


def test_where_they_fit_nothing_is_lent(tmp_path: Path, fake: FakeGateway) -> None:
    fake.fits_one = False
    evaluation, _ = told(fake, suite_of(tmp_path), "good")
    assert (evaluation.mode, fake.loans) == (Mode.RESIDENT, [])


def test_a_mode_that_was_asked_for_is_the_mode(tmp_path: Path, fake: FakeGateway) -> None:
    with pytest.raises(GatewayRefused, match="are more than"):
        told(fake, suite_of(tmp_path), "good", mode=Mode.RESIDENT)
    evaluation, _ = told(fake, suite_of(tmp_path), "good", mode=Mode.OFFLINE, window_s=50)
    assert evaluation.mode is Mode.OFFLINE
    assert {(loan.for_s, loan.turn_away) for loan in fake.loans} == {(50.0, True)}


def test_loads_that_had_begun_are_undone_where_the_next_does_not_fit(tmp_path: Path, fake: FakeGateway) -> None:
    fake.loaded = {"incumbent", "good"}
    evaluation, _ = told(fake, suite_of(tmp_path), "good", "bad")
    assert evaluation.mode is Mode.SWAP


def test_a_trial_that_a_loans_end_has_cut_is_run_again_in_the_next(tmp_path: Path, fake: FakeGateway) -> None:
    cut: list[str] = []

    def cut_once(request: httpx.Request) -> httpx.Response:
        if request.headers["x-gateway-variant"].startswith("good") and len(cut) < 3:
            cut.append("cut")
            return error_response(400, ErrorCode.CUT_BY_SWAP)
        return fake.complete(request)

    fake.chat = cut_once
    evaluation, _ = told(fake, suite_of(tmp_path), "good")
    assert len(cut) == 3
    assert not any(isinstance(trial.result, TrialError) for trial in evaluation.trials)
    assert evaluation.judgements[0].verdict.outcome is Outcome.PASSED


def test_a_trial_that_outlasts_every_loan_is_an_error_of_the_infrastructure(tmp_path: Path, fake: FakeGateway) -> None:
    def never(request: httpx.Request) -> httpx.Response:
        if request.headers["x-gateway-variant"].startswith("good"):
            return error_response(400, ErrorCode.CUT_BY_SWAP)
        return fake.complete(request)

    fake.chat = never
    evaluation, _ = told(fake, suite_of(tmp_path), "good")
    assert {trial.result.code for trial in evaluation.trials if isinstance(trial.result, TrialError)} == {"cut_by_swap"}
    assert evaluation.judgements[0].verdict.outcome is Outcome.ERRORED


def test_times_are_measured_in_turn_too(tmp_path: Path, fake: FakeGateway) -> None:
    latency = LatencyProtocol(cycles=2, prompts_per_cycle=1, warm_up_count=1, output_tokens=2)
    evaluation, _ = told(fake, suite_of(tmp_path, latency=latency), "good")
    assert evaluation.latency is not None
    assert [block.system for block in evaluation.latency.blocks] == [0, 1, 1, 0, 1, 0, 0, 1]
    assert all(block.answers for block in evaluation.latency.blocks)


def test_production_goes_before_the_next_loan(tmp_path: Path, fake: FakeGateway) -> None:
    waiting = [2, 1, 0]
    seen: list[dict[str, int]] = []
    answer = fake.lend

    def lend(loan: LoanRequest) -> httpx.Response:
        seen.append(fake.queued)
        return answer(loan)

    fake.lend = lend
    fake.on_status = lambda: fake.queued.update(interactive=waiting.pop(0) if waiting else 0)
    told(fake, suite_of(tmp_path), "good")
    assert seen
    assert all(queued["interactive"] == 0 for queued in seen)
    assert waiting == []


def test_a_loan_that_is_refused_ends_the_run_with_the_gateways_sentence(tmp_path: Path, fake: FakeGateway) -> None:
    def refuse(loan: LoanRequest) -> httpx.Response:
        del loan
        return error_response(503, ErrorCode.SWAP_ABANDONED, "answers were still under way")

    fake.lend = refuse
    with pytest.raises(GatewayRefused, match="still under way"):
        told(fake, suite_of(tmp_path), "good")
    assert fake.recorded == []


def test_a_reference_that_does_not_serve_has_the_memory_on_loan_too(tmp_path: Path, fake: FakeGateway) -> None:
    progress = Noted()
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway, ExitStack() as engines:
        lineup = line_up_pair(gateway, fake.deployments[0], "good", "bad")
        evaluation = evaluate(gateway, lineup, suite_of(tmp_path), engines=engines, progress=progress)
    lent = {loan.variant for loan in fake.loans}
    assert lent == {system.variant.reference for system in evaluation.systems}
    assert evaluation.compared_while == fake.deployments[0].incumbent
    assert len(evaluation.trials) == 2 * 12
    assert (fake.lent, fake.loaded) == (None, {"incumbent"})


def test_the_incumbent_is_never_lent_its_own_memory(tmp_path: Path, fake: FakeGateway) -> None:
    progress = Noted()
    with GatewayClient("http://gateway.test", transport=fake.transport) as gateway, ExitStack() as engines:
        lineup = line_up_pair(gateway, fake.deployments[0], "good", "incumbent")
        evaluation = evaluate(gateway, lineup, suite_of(tmp_path), engines=engines, progress=progress)
    assert {loan.variant for loan in fake.loans} == {evaluation.incumbent.variant.reference}
    assert len(evaluation.trials) == 2 * 12
