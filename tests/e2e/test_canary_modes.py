"""Judging where both engines do not fit, and after a kill: real processes, a real gateway, scripted engines."""

import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from canary.client import GatewayClient
from canary.errors import GatewayRefused
from canary.report import render_markdown
from canary.suite import load_suite
from canary.workflow import RunOptions, evaluate, find_deployment, line_up
from gateway.contracts.evaluations import Evaluation, Mode, Outcome
from gateway.settings import EngineSettings, Settings
from tests.support.mini_suite import write_mini_suite
from tests.support.noted import Noted
from tests.support.programs import PATIENCE_S, running, wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving
from tests.support.swapping import MIB, ROOM_FOR_ONE, SIZE

CASES = 12
SLOW = "step_delay_s = 0.01\n"
SLOWEST = "step_delay_s = 0.05\n"
QUESTION = {"model": "tutor", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("modes")
    write_mini_suite(home / "suites", count=CASES)
    write_scripted_model(home / "large", SIZE + 'default_text = "It is 4"\n' + SLOW)
    write_scripted_model(home / "slow", SIZE + 'default_text = "So 4"\n' + SLOWEST)
    write_scripted_model(
        home / "small",
        f'weights_bytes = {MIB}\ncontext_length = 4096\nkv_bytes_per_token = 16\ndefault_text = "4"\n' + SLOWEST,
    )
    return home


@pytest.fixture(scope="module")
def served(home: Path) -> Generator[Served]:
    settings = Settings(state_dir=str(home), memory=ROOM_FOR_ONE, engine=EngineSettings(stop_timeout_s=2))
    with serving(settings, [write_scripted_model(home / "tutor", SIZE + 'default_text = "4"\n' + SLOW)]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=PATIENCE_S) as http:
        yield http


def judging(served: Served, model: str, *more: str) -> list[str]:
    return ["evaluate", f"./{model}", "--suite", "mini", "--gateway", served.url, *more]


def asked(http: httpx.Client) -> httpx.Response:
    return http.post("/v1/chat/completions", json=QUESTION)


def judged(served: Served, home: Path, model: str, **options: object) -> tuple[Evaluation, list[str]]:
    """Do what `canary evaluate` does, without a process that has to start first; return its notes too."""
    progress = Noted()
    suite = load_suite("mini", search_path=[home / "suites"])
    with GatewayClient(served.url) as gateway, ExitStack() as engines:
        lineup = line_up(gateway, find_deployment(gateway, "tutor"), [str(home / model)])
        run = msgspec.structs.replace(RunOptions(log_directory=_logs(home)), **options)
        evaluation = evaluate(gateway, lineup, suite, engines=engines, progress=progress, options=run)
    return evaluation, progress.notes


def judged_with_production(
    http: httpx.Client, served: Served, home: Path, **options: object
) -> tuple[Evaluation, list[httpx.Response]]:
    """Judge `large` and ask the incumbent all the while, surely while it is not loaded; return its answers too."""
    with ThreadPoolExecutor(1) as pool:
        judging = pool.submit(judged, served, home, "large", **options)
        wait_until(lambda: loaded(http) == {"large"} or judging.done())
        answers = [asked(http)]
        while not judging.done():
            answers.append(asked(http))
    return judging.result()[0], answers


def _logs(home: Path) -> Path:
    return home / "xdg-state" / "canary" / "runs"


def loaded(http: httpx.Client) -> set[str]:
    engines = http.get("/admin/engines").raise_for_status().json()
    return {reference.partition("@")[0] for engine in engines for reference in engine["variants"]}


def kept_trials(home: Path) -> int:
    """Return how many trials stand in the log of a run that is not over."""
    logs = list(_logs(home).glob("*.jsonl"))
    return sum(log.read_bytes().count(b"\n") - 1 for log in logs)


def test_by_default_they_run_in_turn_and_production_is_answered_all_the_while(
    http: httpx.Client, served: Served, home: Path
) -> None:
    evaluation, answers = judged_with_production(http, served, home)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-gateway-variant"] for answer in answers} == {served.references["tutor"]}
    assert evaluation.mode is Mode.SWAP
    assert evaluation.judgements[0].verdict.outcome is Outcome.PASSED
    assert "swap: the systems loaded in turn, while production's requests waited" in render_markdown(evaluation)
    assert loaded(http) == {"tutor"}


def test_offline_production_is_sent_away_until_the_window_ends(http: httpx.Client, served: Served, home: Path) -> None:
    evaluation, answers = judged_with_production(http, served, home, mode=Mode.OFFLINE, window_s=60.0)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert {answer.status_code for answer in refused} == {503}
    assert all(0 < float(answer.headers["retry-after"]) <= 150 for answer in refused)
    assert evaluation.mode is Mode.OFFLINE
    assert asked(http).status_code == 200


def test_resident_is_refused_with_the_arithmetic_before_anything_is_loaded(
    http: httpx.Client, served: Served, home: Path
) -> None:
    with pytest.raises(GatewayRefused, match="bytes"):
        judged(served, home, "large", mode=Mode.RESIDENT)
    assert loaded(http) == {"tutor"}


def test_production_comes_back_by_itself_where_canary_is_killed_in_the_middle_of_a_block(
    http: httpx.Client, served: Served, home: Path
) -> None:
    with running("canary", *judging(served, "slow", "--window", "3"), home=home) as process:
        # The candidate comes first: what has been kept is its.
        wait_until(lambda: kept_trials(home) >= 1)
        process.kill()
        process.wait(PATIENCE_S)
        answer = asked(http)
    assert answer.status_code == 200
    assert answer.headers["x-gateway-variant"] == served.references["tutor"]
    assert loaded(http) == {"tutor"}
    before = kept_trials(home)
    assert before >= 1
    evaluation, notes = judged(served, home, "slow")
    assert any(f"Going on with {before} trials" in note for note in notes)
    assert len(evaluation.trials) == 2 * CASES
    assert kept_trials(home) == 0


def test_a_run_that_was_killed_goes_on_without_repeating_a_trial(
    http: httpx.Client, served: Served, home: Path
) -> None:
    small = http.post("/admin/variants", json={"source": str(home / "small")}).raise_for_status().json()
    http.post("/admin/engines", json={"variant": small["reference"]}).raise_for_status()

    def begun() -> int:
        """Return how many requests of evaluations the engines have begun."""
        engines = http.get("/admin/engines").raise_for_status().json()
        return sum(engine["work"]["admitted"].get("evaluation", 0) for engine in engines)

    before = begun()
    with running("canary", *judging(served, "small"), home=home) as process:
        wait_until(lambda: kept_trials(home) >= 3)
        process.kill()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    evaluation, _ = judged(served, home, "small")
    assert len(evaluation.trials) == 2 * CASES
    # Each run warms both engines up, and one trial was in flight when the first was ended.
    assert begun() - before <= 2 * CASES + 2 * 2 + 1
    http.delete(f"/admin/engines/{small['reference']}").raise_for_status()
