"""The self-test's table, and the model that serves against itself, on a gateway in memory."""

from collections.abc import Iterator
from statistics import mean

import msgspec
import pytest
from rich.console import Console

from canary import cli, selftest, selftest_cli
from canary.client import GatewayClient
from canary.errors import ExitCode, UsageError
from canary.progress import RunProgress
from canary.selftest import Finding, against_itself
from canary.selftest_cli import findings_table
from canary.suite import Suite, load_suite
from canary.workflow import find_deployment
from gateway.contracts.evaluations import Evaluation, Grade, Judgement, Outcome, Verdict
from tests.support.fake_gateway import FakeGateway
from tests.support.mini_suite import write_mini_suite


@pytest.fixture
def gateway() -> Iterator[GatewayClient]:
    with GatewayClient("http://gateway.test", transport=FakeGateway({"incumbent": "4"}).transport) as client:
        yield client


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    directory = tmp_path_factory.mktemp("suites")
    write_mini_suite(directory, count=80)
    return load_suite("mini", search_path=[directory])


def found(gateway: GatewayClient, suite: Suite) -> list[Finding]:
    with RunProgress(Console(stderr=True)) as progress:
        return list(against_itself(gateway, find_deployment(gateway, None), suite, progress))


def test_a_model_is_not_worse_than_itself_and_noise_neither_rejects_nor_promotes(
    gateway: GatewayClient, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "NOISE_DRAWS", 20)
    findings = found(gateway, suite)
    assert [finding.as_it_must_be for finding in findings] == [True, True, True]
    assert findings[0].found == "not worse, not promoted"
    assert [finding.found.endswith("of 20 runs of 80 cases") for finding in findings[1:]] == [True, True]


def test_a_judge_that_takes_a_mean_for_evidence_is_caught(
    gateway: GatewayClient, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_the_mean(evaluation: Evaluation) -> tuple[Judgement, ...]:
        """Judge as the seed's gate does: by what was found, whatever it is worth."""
        means = [
            mean(
                trial.grade.value
                for trial in evaluation.trials
                if trial.variant_digest == system.variant.digest and isinstance(trial.grade, Grade)
            )
            for system in evaluation.systems
        ]
        outcome = Outcome.PASSED if means[1] >= means[0] - 0.1 else Outcome.FAILED
        verdict = Verdict(outcome=outcome, decided_by=())
        return tuple(msgspec.structs.replace(each, verdict=verdict) for each in evaluation.judgements)

    monkeypatch.setattr(selftest, "NOISE_DRAWS", 40)
    monkeypatch.setattr(selftest, "judge", by_the_mean)
    assert [finding.as_it_must_be for finding in found(gateway, suite)] == [False, True, False]


def test_what_is_not_as_it_must_be_stands_out() -> None:
    missed = Finding(
        planted="dropped adapter",
        expected="rejected",
        found="nothing",
        as_it_must_be=False,
        build_s=1.0,
        judge_s=2.0,
    )
    assert findings_table([missed]).rows == (("dropped adapter", "rejected", "nothing", "NO", "1 s", "2 s"),)


@pytest.mark.parametrize(("caught", "code"), [(True, ExitCode.PASSED), (False, ExitCode.FAILED)])
def test_the_exit_status_says_whether_all_is_as_it_must_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, caught: bool, code: ExitCode
) -> None:
    finding = Finding(
        planted="dropped adapter", expected="rejected", found="", as_it_must_be=caught, build_s=1.0, judge_s=2.0
    )
    monkeypatch.setattr(selftest_cli, "find_deployment", lambda *_: None)
    monkeypatch.setattr(selftest_cli, "against_itself", lambda *_: iter(()))
    monkeypatch.setattr(selftest_cli, "planted_faults", lambda *_: iter([finding]))
    assert cli.run(["selftest"]) == code
    assert "dropped adapter" in capsys.readouterr().out


def test_what_was_found_before_a_build_failed_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> Iterator[Finding]:
        yield Finding(planted="dropped adapter", expected="rejected", found="it", as_it_must_be=True, build_s=1.0)
        raise UsageError("no such build: order another")

    monkeypatch.setattr(selftest_cli, "find_deployment", lambda *_: None)
    monkeypatch.setattr(selftest_cli, "against_itself", lambda *_: iter(()))
    monkeypatch.setattr(selftest_cli, "planted_faults", fails)
    assert cli.run(["selftest"]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert "dropped adapter" in said.out
    assert "no such build" in said.err
