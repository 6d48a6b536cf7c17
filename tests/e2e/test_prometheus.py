"""A real Prometheus sees all that a real gateway goes through, and every panel and every rule has something to show."""

import itertools
import json
import subprocess
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import require_program
from tests.support.judged_home import write_judged_home
from tests.support.programs import PATIENCE_S, RunningGateway, environment, gateway_serving, program, run, wait_until
from tests.support.prometheus import DEPLOYED, RunningPrometheus, prometheus_scraping

DASHBOARDS = sorted((DEPLOYED.parent / "grafana" / "dashboards").glob("*.json"))
CHAT = "/v1/chat/completions"
KEYS = {"ADMIN_KEY": "a" * 32, "LIMITED_KEY": "l" * 32}
SETTINGS = """
[memory]
recommended_working_set_bytes = 68_719_476_736
[engine]
restart_backoff_initial_s = 0.1
[[keys]]
name = "admin"
role = "admin"
secret_env = "ADMIN_KEY"
[[keys]]
name = "limited"
role = "chat"
secret_env = "LIMITED_KEY"
requests_per_min = 1
"""
MODELS = {
    "incumbent": """
        default_text = "4"
        weights_bytes = 4_000_000
        [[answers]]
        match = "slowly"
        text = "This answer takes its time, so that somebody can lose patience with it before it ends."
        step_delay_s = 0.02
        [[faults]]
        match = "POISON"
        kind = "exit"
        at_token = 1
    """,
    "good": 'default_text = "It is 4."\nweights_bytes = 3_000_000',
    "slow": """
        default_text = "It takes longer to say it than anybody waits for it, and after all of that it is 4."
        step_delay_s = 1.0
    """,
}
SCRAPED_S = 60.0
"""Long enough for a scrape and the rules after it, on a machine that does a great deal else."""
GRAFANA = {"$__rate_interval": "1m", "$__range": "5m", "$__interval": "5s", "$instance": ".+", "$model": "tutor"}
"""What Grafana puts in place of its variables, where one model is chosen."""


@dataclass
class Watched:
    gateway: RunningGateway
    prometheus: RunningPrometheus


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Generator[Watched]:
    """A gateway under load that has crashed, promoted and rolled back, and now evaluates; and who watched it."""
    prometheus_program = require_program("prometheus")
    home = write_judged_home(tmp_path_factory.mktemp("watched"), MODELS, settings=SETTINGS)
    with (
        gateway_serving(home, "--config", "gateway.toml", environ=KEYS) as gateway,
        prometheus_scraping(prometheus_program, gateway.url, tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        crash_engine(gateway)
        with clients(gateway.url):
            watched = Watched(gateway, prometheus)
            change_incumbent(watched)
            with evaluating(gateway, "./slow"):
                yield watched


def crash_engine(gateway: RunningGateway) -> None:
    """Have a request end the engine until it is refused; it is, the second time, because nothing runs beside it."""
    with httpx.Client(base_url=gateway.url, headers=bearer("ADMIN_KEY"), timeout=PATIENCE_S) as http:
        assert [http.post(CHAT, json=body("POISON")).status_code for _ in range(2)] == [500, 400]
        wait_until(lambda: http.get("/ready").status_code == 200)


def change_incumbent(watched: Watched) -> None:
    """Promote and roll back, each when Prometheus has seen what was before it."""
    gateway, prometheus = watched.gateway, watched.prometheus
    seen(prometheus, 'gateway_incumbent_info{variant="incumbent"}')
    for command, variant in ((("promote", "./good"), "good"), (("rollback",), "incumbent")):
        ended = run("canary", *command, cwd=gateway.home, environ=canary_environment(gateway), timeout_s=2 * SCRAPED_S)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        seen(prometheus, f'gateway_incumbent_info{{variant="{variant}"}}')


@contextmanager
def clients(url: str) -> Generator[None]:
    """Have requests of every kind come, over connections that stay open, until the context ends."""
    leaving = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
            for question in itertools.cycle(["hello " * 40, "hello " * 40 + "again"]):
                http.post(CHAT, json=body(question), headers=bearer("ADMIN_KEY"))
                http.post(CHAT, json=body("slowly", stream=True), headers=bearer("ADMIN_KEY"))
                http.post(CHAT, json=body("hello") | {"model": "nobody"}, headers=bearer("ADMIN_KEY"))
                http.post(CHAT, json={}, headers=bearer("LIMITED_KEY"))
                with http.stream("POST", CHAT, json=body("slowly", stream=True), headers=bearer("ADMIN_KEY")) as left:
                    next(left.iter_bytes(), b"")
                if leaving.wait(0.1):
                    return

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            leaving.set()
            asking.result(PATIENCE_S)


@contextmanager
def evaluating(gateway: RunningGateway, candidate: str) -> Generator[None]:
    """Have canary judge a candidate that takes its time, and break that off when the context ends."""
    process = subprocess.Popen(
        [program("canary"), "evaluate", candidate],
        cwd=gateway.home,
        env=environment(gateway.home, canary_environment(gateway)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[key]}"}


def canary_environment(gateway: RunningGateway) -> dict[str, str]:
    return {"GATEWAY_URL": gateway.url, "GATEWAY_API_KEY": KEYS["ADMIN_KEY"]}


def body(text: str, *, stream: bool = False) -> dict[str, object]:
    return {"model": "tutor", "messages": [{"role": "user", "content": text}], "stream": stream}


def seen(prometheus: RunningPrometheus, expression: str) -> None:
    wait_until(lambda: bool(prometheus.query(expression)), patience_s=SCRAPED_S)


def all_have_data(prometheus: RunningPrometheus, expressions: Sequence[str]) -> None:
    """Assert that each had data, at some moment: an evaluation's phase is not there for long."""
    missing = list(expressions)

    def ask_again() -> bool:
        missing[:] = [expression for expression in missing if not prometheus.query(expression)]
        return not missing

    try:
        wait_until(ask_again, patience_s=SCRAPED_S)
    except AssertionError:
        pytest.fail("no data for:\n" + "\n".join(missing))


def filled_in(expression: str) -> str:
    for variable, value in GRAFANA.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


def panels(dashboard: Path) -> list[dict[str, Any]]:
    return json.loads(dashboard.read_text(encoding="utf-8"))["panels"]


def rules(kind: str) -> list[str]:
    """Return the names of the rules of that kind, `record` or `alert`, that are deployed."""
    files = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in (DEPLOYED / "rules").glob("*.yml")]
    return [rule[kind] for file in files for group in file["groups"] for rule in group["rules"] if kind in rule]


def test_there_are_three_dashboards() -> None:
    assert [file.stem for file in DASHBOARDS] == ["gateway-canary", "gateway-engine-memory", "gateway-serving"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda file: file.stem)
def test_every_query_of_every_panel_has_data(watched: Watched, dashboard: Path) -> None:
    asked = {panel["title"]: panel["targets"] for panel in panels(dashboard) if panel["type"] != "row"}
    assert all(asked.values())
    all_have_data(watched.prometheus, [filled_in(target["expr"]) for targets in asked.values() for target in targets])


def test_every_recording_rule_has_data(watched: Watched) -> None:
    all_have_data(watched.prometheus, rules("record"))


def test_every_alert_rule_is_loaded_and_healthy(watched: Watched) -> None:
    def evaluated() -> dict[str, str]:
        groups = watched.prometheus.ask("/rules", {"type": "alert"})["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    wait_until(lambda: "unknown" not in evaluated().values(), patience_s=SCRAPED_S)
    assert evaluated() == dict.fromkeys(rules("alert"), "ok")


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda file: file.stem)
def test_every_variable_has_values(watched: Watched, dashboard: Path) -> None:
    variables = json.loads(dashboard.read_text(encoding="utf-8"))["templating"]["list"]
    queries = {variable["name"]: variable["query"] for variable in variables if variable["type"] == "query"}
    assert queries.keys() == {"instance", "model"}
    for query in queries.values():
        series, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
        found = watched.prometheus.ask(f"/label/{label}/values", {"match[]": filled_in(series)})
        assert found, query


def test_a_promotion_and_a_rollback_are_marked(watched: Watched) -> None:
    (mark,) = json.loads(DASHBOARDS[0].read_text(encoding="utf-8"))["annotations"]["list"]

    def marked() -> set[str]:
        series = watched.prometheus.ask("/query_range", lately(watched.prometheus, mark["expr"]) | {"step": "1"})
        return {each["metric"]["variant"] for each in series["result"]}

    wait_until(lambda: marked() == {"good", "incumbent"}, patience_s=SCRAPED_S)


def lately(prometheus: RunningPrometheus, expression: str) -> dict[str, str]:
    """Return what asks for the last five minutes, in which all of this has happened."""
    now_s = float(prometheus.ask("/query", {"query": "time()"})["result"][1])
    return {"query": filled_in(expression), "start": str(now_s - 300), "end": str(now_s)}


def test_a_panel_of_latency_names_requests_by_exemplars(watched: Watched) -> None:
    with_exemplars = [
        target["expr"]
        for dashboard in DASHBOARDS
        for panel in panels(dashboard)
        for target in panel.get("targets", ())
        if target["exemplar"]
    ]
    assert with_exemplars
    for expression in with_exemplars:
        series = watched.prometheus.ask("/query_exemplars", lately(watched.prometheus, expression))
        assert series, expression
        assert all(exemplar["labels"]["request_id"] for each in series for exemplar in each["exemplars"])
