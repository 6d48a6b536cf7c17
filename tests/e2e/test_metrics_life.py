"""A gateway's life, from load to restart, in its log and its metrics: each step is told once, and who asked for it."""

import os
import re
import signal
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.judged_home import write_judged_home
from tests.support.programs import PATIENCE_S, RunningGateway, events_in, gateway_serving, run, wait_until
from tests.support.scraping import scrape

MODELS = {
    "incumbent": 'default_text = "4"',
    "good": 'default_text = "It is 4."',
    "unloadable": 'load_failure = "the weights are cursed"',
}
QUESTION = "Which word is never written down?"


@dataclass(frozen=True)
class Life:
    log: str
    events: list[dict[str, Any]]
    judged: str
    """What canary printed of the promotion."""
    before: dict[str, float]
    """Samples before the gateway was started again, and after."""
    after: dict[str, float]

    def lines(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the lines of this event that have these fields."""
        told = [line for line in self.events if line["event"] == event]
        return [line for line in told if all(line.get(name) == value for name, value in fields.items())]

    def request_of(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return the one line of the request that brought this about."""
        (request,) = self.lines("request_finished", request_id=line["request_id"])
        return request


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    home = write_judged_home(tmp_path_factory.mktemp("life"), MODELS)
    with gateway_serving(home, "--config", "gateway.toml") as gateway:
        chat = {"model": "tutor", "messages": [{"role": "user", "content": QUESTION}]}
        httpx.post(f"{gateway.url}/v1/chat/completions", json=chat, timeout=PATIENCE_S).raise_for_status()
        judged = canary(gateway, "promote", "./good", status=0)
        canary(gateway, "rollback", status=0)
        canary(gateway, "promote", "./unloadable", "--override", "in a hurry", status=13)
        (serving,) = (view for view in gateway.get("/admin/engines").json() if view["state"] == "ready")
        os.kill(serving["pid"], signal.SIGKILL)
        wait_until(lambda: any(line.get("restarts") == 1 for line in events_in(gateway.log)))
        before = scrape(gateway.url)
        assert gateway.stop() == 0
        log = gateway.log
    with gateway_serving(home, "--config", "gateway.toml") as gateway:
        after = scrape(gateway.url)
    return Life(log, events_in(log), judged, before, after)


def canary(gateway: RunningGateway, *arguments: str, status: int) -> str:
    ended = run("canary", *arguments, cwd=gateway.home, environ={"GATEWAY_URL": gateway.url})
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout


def test_every_step_of_an_engines_life_is_one_line(life: Life) -> None:
    steps = ("engine_loading", "engine_ready", "engine_failed", "engine_unloaded")
    of_engine: dict[str, list[str]] = {}
    for line in life.events:
        if line["event"] in steps:
            of_engine.setdefault(line["engine"], []).append(line["event"].removeprefix("engine_"))
    lives = [" ".join(events) for events in of_engine.values()]
    assert sorted(lives) == sorted(
        [
            # The incumbent of the start is replaced, comes back by the rollback, and is killed and started again.
            "loading ready unloaded loading ready failed ready unloaded",
            "loading ready unloaded",
            "loading failed",
        ]
    )


def test_an_engine_that_is_ready_says_what_it_is(life: Life) -> None:
    for line in life.lines("engine_ready"):
        assert line["device"] == "scripted"
        assert line["load_time_s"] >= 0
        assert line["active_after_load_bytes"] > 0
    assert [line["restarts"] for line in life.lines("engine_ready")][-1] == 1
    (killed,) = life.lines("engine_failed", reason="killed")
    assert (killed["role"], killed["signal_name"], killed["restart_in_s"] > 0) == ("incumbent", "SIGKILL", True)


def test_an_evaluation_is_one_line_that_names_its_request(life: Life) -> None:
    (line,) = life.lines("evaluation_recorded")
    named = re.search(r"Evaluation (\S+)", life.judged)
    assert named is not None
    assert line["evaluation"] == named[1]
    assert (line["model"], line["suite"], list(line["outcomes"].values())) == ("tutor", "mini", ["passed"])
    assert life.request_of(line)["path"] == "/admin/evaluations"


def test_each_promotion_is_one_line_that_names_its_request(life: Life) -> None:
    promoted, rolled_back, failed = life.lines("promotion_finished")
    assert [(line["kind"], line["outcome"]) for line in (promoted, rolled_back, failed)] == [
        ("promote", "done"),
        ("rollback", "done"),
        ("override", "failed"),
    ]
    assert promoted["from_variant"] == rolled_back["to_variant"] != promoted["to_variant"]
    assert re.fullmatch(r"good@[0-9a-f]{12}", promoted["to_variant"])
    assert (promoted["revision"], rolled_back["revision"], failed["revision"]) == (2, 3, 3)
    assert promoted["evaluation"] == life.lines("evaluation_recorded")[0]["evaluation"]
    assert "cursed" in failed["detail"]
    assert "hurry" not in life.log
    swaps = life.lines("swap_finished")
    for line, swap in zip((promoted, rolled_back, failed), swaps, strict=True):
        assert life.request_of(line)["path"] == "/admin/promotions"
        assert swap["request_id"] == line["request_id"]
        assert swap["to_variant"] == line["to_variant"]


def test_an_engine_that_a_request_loads_names_it_and_one_of_the_start_names_none(life: Life) -> None:
    first, *others = life.lines("engine_loading")
    assert "request_id" not in first
    assert {life.request_of(line)["path"] for line in others} == {"/admin/engines", "/admin/promotions"}


def test_a_request_is_one_line_without_what_was_asked(life: Life) -> None:
    (chat,) = life.lines("request_finished", path="/v1/chat/completions", role="incumbent", key=None, stream=False)
    assert (chat["status"], chat["model"]) == (200, "tutor")
    assert QUESTION not in life.log
    assert "What is" not in life.log
    ids = [line["request_id"] for line in life.lines("request_finished")]
    assert len(set(ids)) == len(ids)


def test_what_canary_found_is_shown_again_after_a_restart(life: Life) -> None:
    found = {name: value for name, value in life.before.items() if name.startswith("canary_")}
    lasting = {name: value for name, value in found.items() if not name.startswith("canary_evaluations_total")}
    assert lasting["canary_accuracy_ratio{model=tutor,role=candidate,suite=mini}"] == 1
    assert lasting["canary_evaluation_outcome{model=tutor,outcome=passed,suite=mini}"] == 1
    assert lasting == {name: value for name, value in life.after.items() if name.startswith("canary_")}


def test_who_serves_is_shown_again_after_a_restart(life: Life) -> None:
    before, after = (
        {name for name in samples if name.startswith("gateway_incumbent_info")} for samples in (life.before, life.after)
    )
    assert before == after
    assert "variant=incumbent" in before.pop()


def test_a_run_that_has_ended_runs_no_more(life: Life) -> None:
    assert life.before["canary_evaluation_running{model=tutor,suite=mini}"] == 0
    assert not [name for name in life.before if name.startswith("canary_evaluation_p")]


def test_the_life_is_counted(life: Life) -> None:
    for kind, outcome in (("promote", "done"), ("rollback", "done"), ("override", "failed")):
        assert life.before[f"gateway_promotions_total{{kind={kind},model=tutor,outcome={outcome}}}"] == 1
    assert not [name for name in life.before if "kind=bootstrap" in name]
    assert life.before["gateway_engine_restarts_total{role=incumbent}"] == 1
    assert [value for name, value in life.before.items() if name.startswith("gateway_build_info")] == [1]
