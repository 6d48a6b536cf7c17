"""Exit statuses and the one line on standard error, command by command."""

from pathlib import Path

import httpx
import msgspec
import pytest

from canary import cli
from canary.client import GatewayClient
from canary.errors import ExitCode
from gateway.contracts.deployments import PromotionOutcome
from tests.support.fake_gateway import FakeGateway, error_response, stream_response, whole_answer
from tests.support.mini_suite import write_mini_suite

SIZES = {"good": 900, "small": 500}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    """Put the fake gateway behind every address, and a suite `mini` into the working directory."""
    fake = FakeGateway({"incumbent": "4", "good": "It is 4.", "small": "4", "bad": "5"}, predicted_bytes=SIZES)

    def connect(url: str, *, api_key: str | None = None) -> GatewayClient:
        return GatewayClient(url, api_key=api_key, transport=fake.transport)

    monkeypatch.setattr(cli, "GatewayClient", connect)
    monkeypatch.chdir(tmp_path)
    write_mini_suite(tmp_path / "suites")
    return fake


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("candidates", "code"),
    [
        (["good"], ExitCode.PASSED),
        (["bad"], ExitCode.FAILED),
        (["bad", "good"], ExitCode.PASSED),
        (["incumbent"], ExitCode.PASSED),
    ],
)
def test_evaluate_exits_with_its_verdict(candidates: list[str], code: ExitCode) -> None:
    assert cli.run(["evaluate", *candidates]) == code


@pytest.mark.parametrize("count", [3])
def test_too_few_cases_are_inconclusive(fake: FakeGateway, tmp_path: Path, count: int) -> None:
    write_mini_suite(tmp_path / "suites", count=count)
    assert cli.run(["evaluate", "good"]) == ExitCode.INCONCLUSIVE
    assert cli.run(["promote", "good"]) == ExitCode.INCONCLUSIVE
    assert fake.promotions == []


def test_a_run_whose_trials_are_lost_is_errored(fake: FakeGateway) -> None:
    fake.chat = lambda _: error_response(400, "invalid_value")
    assert cli.run(["evaluate", "good"]) == ExitCode.ERRORED


@pytest.mark.parametrize("code", ["engine_crashed", "engine_fault", "context_length_exceeded"])
def test_a_candidate_that_breaks_down_on_every_case_has_failed_and_not_errored(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    def chat(request: httpx.Request) -> httpx.Response:
        reference = request.headers["x-gateway-variant"]
        if reference.startswith("good@"):
            return error_response(500, code)
        return stream_response(whole_answer("4"), reference)

    fake.chat = chat
    assert cli.run(["evaluate", "good"]) == ExitCode.FAILED
    (evaluation,) = fake.recorded
    assert len(evaluation.trials) == 2 * 12
    assert "errors of the candidate scored 0: 12" in capsys.readouterr().out
    assert cli.run(["promote", "good"]) == ExitCode.FAILED
    assert fake.promotions == []


def test_evaluate_promotes_nothing(fake: FakeGateway) -> None:
    cli.run(["evaluate", "good"])
    assert (len(fake.recorded), fake.promotions) == (1, [])


def test_promote_promotes_the_winner_and_says_what_became_of_each(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["promote", "good", "small", "bad"]) == ExitCode.PASSED
    *_, good, small, bad, floor, margin = capsys.readouterr().out.splitlines()
    assert (good, small, bad) == (
        f"{fake.views['good'].reference}: passed, not promoted",
        f"{fake.views['small'].reference}: promoted",
        f"{fake.views['bad'].reference}: refused:",
    )
    assert floor.startswith("  - accuracy: 0.0 %")
    assert margin.startswith("  - accuracy_vs_incumbent: -100.0 points")


def test_promote_with_no_candidate_that_passed_exits_with_the_verdict(fake: FakeGateway) -> None:
    assert cli.run(["promote", "bad"]) == ExitCode.FAILED
    assert fake.promotions == []


def test_promote_that_the_gate_refuses_is_13(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    fake.refuse_promotion = "the suite has changed"
    assert cli.run(["promote", "good"]) == ExitCode.NOT_PROMOTED
    assert capsys.readouterr().out.splitlines()[-1] == "  - the suite has changed"


def test_promote_of_the_incumbent_is_13_at_once(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["promote", "incumbent"]) == ExitCode.NOT_PROMOTED
    assert "is already the incumbent of tutor: nothing to promote" in last_error(capsys)
    assert fake.recorded == []


def test_override_promotes_without_a_suite(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["promote", "good", "--override", "the disk of the old one died", "--suite", "absent"]) == 0
    assert capsys.readouterr().out == f"{fake.views['good'].reference}: promoted by override\n"
    assert fake.recorded == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["promote", "good", "small", "--override", "why"], "exactly one model"),
        (["promote", "good", "--override", " "], "needs a reason"),
        (["evaluate", "absent"], "no model 'absent'"),
        (["evaluate", "good", "--suite", "absent"], "no suite is named 'absent'"),
        (["evaluate", "good", "--tag", "absent"], "no case has the tag 'absent'"),
        (["evaluate", "good", "--for", "coder"], "deploys no model 'coder'"),
        (["evaluate", "good", "--gateway", "localhost"], "must start with http"),
        (["evaluate", "good", "good"], "are one variant"),
        (["report"], "give the ID of an evaluation"),
        (["report", "x", "--recorded", "mini"], "takes no ID"),
        (["report", "absent"], "no such evaluation"),
        (["evaluate"], "Missing argument"),
        (["evaluate", "good", "--colour"], "No such option"),
        (["improve"], "No such command"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_a_mistake_of_usage_is_2_and_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == ExitCode.USAGE
    assert words in last_error(capsys)


@pytest.mark.parametrize("command", [["evaluate", "good"], ["promote", "good"], ["rollback"], ["history"]])
def test_no_gateway_is_12_and_one_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--gateway", "http://127.0.0.1:9"]) == ExitCode.ERRORED
    assert capsys.readouterr().err == (
        "canary: no gateway answers at http://127.0.0.1:9; start one with `gateway serve`, or name another\n"
    )


def test_the_address_comes_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:10")
    assert cli.run(["history"]) == ExitCode.ERRORED
    assert "http://127.0.0.1:10" in last_error(capsys)


def test_the_key_comes_from_the_environment(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "secret")
    keys: list[str | None] = []

    def connect(url: str, *, api_key: str | None = None) -> GatewayClient:
        keys.append(api_key)
        return GatewayClient(url, transport=fake.transport)

    monkeypatch.setattr(cli, "GatewayClient", connect)
    cli.run(["history"])
    assert keys == ["secret"]


@pytest.mark.parametrize(
    "command", [["promote", "good"], ["promote", "good", "--override", "why"], ["rollback"]], ids=" ".join
)
def test_streams_are_cut_only_where_that_is_asked_for(fake: FakeGateway, command: list[str]) -> None:
    assert cli.run([*command, "--cut-streams"]) == ExitCode.PASSED
    assert [request.cut_streams for request in fake.promotions] == [True]
    fake.promotions.clear()
    fake.deployments[0] = msgspec.structs.replace(
        fake.deployments[0], incumbent=fake.views["incumbent"].digest, revision=4
    )
    assert cli.run(command) == ExitCode.PASSED
    assert [request.cut_streams for request in fake.promotions] == [False]


def test_a_promotion_whose_engine_could_not_be_verified_is_13(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.promotion_outcome = PromotionOutcome.UNVERIFIED
    assert cli.run(["promote", "good", "--override", "why"]) == ExitCode.NOT_PROMOTED
    assert "could not bring the engine into service" in last_error(capsys)


def test_rollback_says_what_serves(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["rollback"]) == ExitCode.PASSED
    assert capsys.readouterr().out == f"tutor is back on {fake.views['incumbent'].reference}\n"


def test_a_rollback_that_is_refused_is_13(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    fake.refuse_promotion = "there is nothing to go back to"
    assert cli.run(["rollback"]) == ExitCode.NOT_PROMOTED
    assert last_error(capsys) == "canary: there is nothing to go back to"


def test_history_lists_evaluations_with_their_outcomes(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["evaluate", "bad"])
    capsys.readouterr()
    assert cli.run(["history"]) == ExitCode.PASSED
    printed = capsys.readouterr().out
    assert fake.recorded[0].id in printed
    assert f"{fake.views['bad'].reference}: failed" in printed
    assert "Changes of the incumbent: none" in printed


@pytest.mark.parametrize("form", ["md", "json"])
def test_a_recorded_evaluation_is_reported(fake: FakeGateway, capsys: pytest.CaptureFixture[str], form: str) -> None:
    cli.run(["evaluate", "good"])
    capsys.readouterr()
    assert cli.run(["report", fake.recorded[0].id, "--format", form]) == ExitCode.PASSED
    assert fake.recorded[0].id in capsys.readouterr().out


def test_recorded_figures_need_no_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", "--recorded", "phase26", "--format", "md"]) == ExitCode.PASSED
    assert "92% (23/25)" in capsys.readouterr().out
    assert cli.run(["report", "--recorded", "smoke"]) == ExitCode.USAGE
    assert "no recorded figures" in last_error(capsys)


@pytest.mark.usefixtures("fake")
def test_progress_is_a_line_for_every_tenth_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["evaluate", "good"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("trials ")]
    assert (len(lines), lines[0], lines[-1]) == (10, "trials 3/24 (12 %)", "trials 24/24 (100 %)")


def test_a_crash_is_1_and_one_line_unless_debug_is_asked_for(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(_: object) -> None:
        raise ZeroDivisionError("by nothing")

    fake.chat = crash  # pyright: ignore[reportAttributeAccessIssue] - the fault that is injected
    assert cli.run(["evaluate", "good"]) == ExitCode.CRASHED
    assert last_error(capsys).startswith("canary: a bug in canary, ZeroDivisionError: by nothing; run it again as")
    with pytest.raises(ZeroDivisionError):
        cli.run(["--debug", "evaluate", "good"])


def test_an_interrupt_is_130(fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    fake.chat = interrupt  # pyright: ignore[reportAttributeAccessIssue] - the fault that is injected
    assert cli.run(["evaluate", "good"]) == ExitCode.INTERRUPTED
    assert last_error(capsys) == "canary: interrupted"
    assert fake.loaded == {"incumbent"}


def test_help_is_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    assert "13 not promoted" in " ".join(capsys.readouterr().out.split())
