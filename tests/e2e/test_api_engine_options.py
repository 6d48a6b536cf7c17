"""An adapter, a draft model and a quantised cache over HTTP, on a tiny random model that MLX really runs."""

from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import pytest

from canary.cli import run
from canary.client import GatewayClient
from gateway.contracts.admin import EngineView, VariantView
from gateway.contracts.evaluations import Outcome
from gateway.settings import EngineSettings, Settings
from tests.support.mini_suite import write_mini_suite
from tests.support.served import Served, serving
from tests.support.tiny_llama import write_adapter, write_model

QUESTION = {"messages": [{"role": "user", "content": "What is it?"}], "max_tokens": 8, "temperature": 0}

TIMED_TWO_AT_A_TIME = """
[protocol.latency]
cycles = 2
output_tokens = 6
concurrency = 2
[[criteria]]
name = "two_at_a_time"
metric = "end_to_end_s"
rule = "at_most"
bound = 100
concurrency = 2
"""


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return write_model(root / "tiny"), write_adapter(root / "lora")


@pytest.fixture(scope="module")
def served(directories: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    state_dir = str(tmp_path_factory.mktemp("state"))
    with serving(Settings(state_dir=state_dir, engine=EngineSettings(max_rows=4)), [directories[0]]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as http:
        yield http


def _register(http: httpx.Client, **body: object) -> VariantView:
    response = http.post("/admin/variants", json=body).raise_for_status()
    return msgspec.json.decode(response.content, type=VariantView)


def _load(http: httpx.Client, reference: str) -> EngineView:
    response = http.post("/admin/engines", json={"variant": reference}).raise_for_status()
    return msgspec.json.decode(response.content, type=EngineView)


def _answer(http: httpx.Client, reference: str) -> str:
    headers = {"x-gateway-variant": reference}
    response = http.post("/v1/chat/completions", json={"model": "tiny", **QUESTION}, headers=headers)
    return response.raise_for_status().json()["choices"][0]["message"]["content"]


def test_an_adapter_is_a_variant_of_its_own_that_answers_otherwise(
    http: httpx.Client, served: Served, directories: tuple[Path, Path]
) -> None:
    model, adapter = directories
    view = _register(http, source=str(model), adapter=str(adapter))
    assert view.variant.name == "tiny-lora"
    engine = _load(http, view.reference)
    assert (engine.max_rows, engine.one_at_a_time) == (4, False)
    assert _answer(http, view.reference) != _answer(http, served.references["tiny"])
    score = {"tokens": [5, 6, 7]}
    plain, adapted = (
        http.post("/admin/score", json={**score, "variant": reference}).raise_for_status().json()["positions"]
        for reference in (served.references["tiny"], view.reference)
    )
    assert plain != adapted


def test_a_draft_and_a_quantised_cache_say_that_they_serve_one_at_a_time(
    http: httpx.Client, served: Served, directories: tuple[Path, Path]
) -> None:
    model, _ = directories
    view = _register(http, source=served.references["tiny"], draft=str(model), kv_bits=8, kv_group_size=32, name="q")
    engine = _load(http, view.reference)
    assert (engine.max_rows, engine.one_at_a_time) == (1, True)
    assert _answer(http, view.reference)


def test_an_engine_that_serves_one_at_a_time_is_judged_at_one(
    http: httpx.Client, served: Served, tmp_path: Path
) -> None:
    _register(http, source=served.references["tiny"], kv_bits=8, kv_group_size=32, name="judged")
    suite = write_mini_suite(tmp_path, count=4)
    with (suite / "suite.toml").open("a") as file:
        file.write(TIMED_TWO_AT_A_TIME)
    run(["evaluate", "judged", "--suite", str(suite), "--for", "tiny", "--gateway", served.url])
    with GatewayClient(served.url) as gateway:
        evaluation = gateway.evaluation(gateway.evaluations()[0].id)
    assert evaluation.latency is not None
    assert {(block.system, block.concurrency) for block in evaluation.latency.blocks} == {(0, 1), (1, 1)}
    results = {result.criterion.name: result for result in evaluation.judgements[0].results}
    assert results["two_at_a_time"].outcome is Outcome.INCONCLUSIVE
    assert "serves one request at a time" in results["two_at_a_time"].reason


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"adapter": "/nowhere"}, "adapter"),
        ({"adapter": "./lora"}, "adapter"),
        ({"draft": "/nowhere"}, "draft"),
        ({"kv_bits": 8, "kv_group_size": 128}, "kv_bits"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_its_name(
    http: httpx.Client, directories: tuple[Path, Path], body: dict[str, object], param: str
) -> None:
    response = http.post("/admin/variants", json={"source": str(directories[0]), **body})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["code"] == "model_unreadable"
