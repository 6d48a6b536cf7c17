"""A run tells the gateway how far it is, and goes on whatever the gateway makes of that."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from canary import posting
from canary.client import GatewayClient
from canary.posting import PostedProgress
from canary.suite import load_suite
from canary.workflow import evaluate, find_deployment, line_up
from gateway.contracts.progress import RunPhase
from tests.support.evaluations import make_system, make_trial
from tests.support.fake_gateway import FakeGateway, error_response
from tests.support.mini_suite import write_mini_suite
from tests.support.noted import Noted
from tests.support.programs import wait_until

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def fake() -> FakeGateway:
    return FakeGateway({"incumbent": "4", "good": "4"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "POST_EVERY_S", 0.001)


@pytest.fixture
def gateway(fake: FakeGateway) -> Iterator[GatewayClient]:
    with GatewayClient("http://gateway.test", transport=fake.transport) as client:
        yield client


def posted(gateway: GatewayClient, shown: Noted | None = None) -> PostedProgress:
    lineup = line_up(gateway, find_deployment(gateway, None), ["good"])
    return PostedProgress(gateway, lineup, "mini", shown or Noted())


def test_each_change_is_posted_and_the_end_is_the_last(fake: FakeGateway, gateway: GatewayClient) -> None:
    with posted(gateway) as progress:
        wait_until(lambda: len(fake.progress) > 0)
        progress.enter(RunPhase.TRIALS)
        progress.on_trial(make_trial(4, "case", make_system("good"), 1.0), 24)
        wait_until(lambda: fake.progress[-1].trials_done == 5)
    first, last = fake.progress[0], fake.progress[-1]
    assert (first.phase, first.model, first.suite, first.ended) == (RunPhase.PREPARING, "tutor", "mini", False)
    assert first.candidates == (fake.views["good"].reference,)
    assert (last.phase, last.trials_done, last.trials_total, last.ended) == (RunPhase.TRIALS, 5, 24, True)
    assert len({each.id for each in fake.progress}) == 1


def test_each_candidate_is_posted_by_the_name_that_it_was_lined_up_under(
    fake: FakeGateway, gateway: GatewayClient, tmp_path: Path
) -> None:
    write_mini_suite(tmp_path)
    suite = load_suite("mini", search_path=[tmp_path])
    lineup = line_up(gateway, find_deployment(gateway, None), ["good"])
    with ExitStack() as engines:
        evaluate(gateway, lineup, suite, engines=engines, progress=Noted())
    last = fake.progress[-1]
    assert [standing.candidate for standing in last.standings] == [fake.views["good"].reference] == [*last.candidates]


def test_what_does_not_change_is_said_again(
    fake: FakeGateway, gateway: GatewayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "REPEAT_EVERY_S", 0.001)
    with posted(gateway):
        wait_until(lambda: len(fake.progress) >= 3)


def test_changes_that_come_quickly_are_posted_together(
    fake: FakeGateway, gateway: GatewayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "POST_EVERY_S", 3600.0)
    with posted(gateway) as progress:
        wait_until(lambda: len(fake.progress) == 1)
        for sequence in range(100):
            progress.on_trial(make_trial(sequence, "case", make_system("good"), 1.0), 100)
            time.sleep(0.001)  # in which a thread that posts each change would post some
    assert [each.trials_done for each in fake.progress] == [0, 100]


def test_an_end_by_an_error_is_an_end(fake: FakeGateway, gateway: GatewayClient) -> None:
    with pytest.raises(RuntimeError), posted(gateway):
        raise RuntimeError
    assert fake.progress[-1].ended


def refuse(_: httpx.Request) -> httpx.Response:
    return error_response(404, "not_found")


def fail(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("gone")


def garble(_: httpx.Request) -> httpx.Response:
    return httpx.Response(500, content=b"\0")


@pytest.mark.parametrize("answer", [refuse, fail, garble])
def test_a_gateway_that_does_not_take_it_changes_nothing(fake: FakeGateway, answer: Answer) -> None:
    asked = threading.Event()
    healthy = fake.transport

    def instead(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/admin/progress":
            return healthy.handle_request(request)
        asked.set()
        return answer(request)

    shown = Noted()
    with (
        GatewayClient("http://gateway.test", transport=httpx.MockTransport(instead)) as gateway,
        posted(gateway, shown) as progress,
    ):
        progress.note("said")
        progress.enter(RunPhase.JUDGING)
        assert asked.wait(30)
    assert shown.notes == ["said"]


def test_an_evaluation_goes_through_its_phases(
    fake: FakeGateway, gateway: GatewayClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[RunPhase] = []
    monkeypatch.setattr(PostedProgress, "enter", lambda _self, phase: entered.append(phase))
    write_mini_suite(tmp_path)
    suite = load_suite("mini", search_path=[tmp_path])
    lineup = line_up(gateway, find_deployment(gateway, None), ["good"])
    with ExitStack() as engines:
        evaluate(gateway, lineup, suite, engines=engines, progress=Noted())
    assert entered == [RunPhase.FIDELITY, RunPhase.TRIALS, RunPhase.MEASURING, RunPhase.JUDGING]
    assert fake.progress[-1].ended
    assert fake.progress[-1].trials_done == fake.progress[-1].trials_total > 0
