"""The admin routes and the probes, over a real server and scripted engines."""

from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import openai
import pytest

from gateway.contracts.admin import EngineState, EngineView, PromotionView, VariantView
from gateway.contracts.deployments import Deployment, Promotion, PromotionKind
from gateway.settings import ClassSettings, EngineSettings, QueueSettings, Settings
from tests.support.served import SCRIPTED, Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    state_dir = str(tmp_path_factory.mktemp("state"))
    settings = Settings(
        state_dir=state_dir,
        engine=EngineSettings(max_rows=1),
        queue=QueueSettings(interactive=ClassSettings(max_queued=0)),
    )
    with serving(settings, [SCRIPTED / "tutor"]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


def _register(http: httpx.Client, name: str) -> VariantView:
    response = http.post("/admin/variants", json={"source": str(SCRIPTED / name)}).raise_for_status()
    return msgspec.json.decode(response.content, type=VariantView)


def _deployment(http: httpx.Client) -> Deployment:
    return msgspec.json.decode(http.get("/admin/deployments/tutor").content, type=Deployment)


def _override(reference: str, *, revision: int) -> dict[str, object]:
    return {"model": "tutor", "expected_revision": revision, "variant": reference, "override_reason": "a test"}


def test_a_variant_is_registered_found_loaded_and_unloaded(http: httpx.Client) -> None:
    view = _register(http, "faulty")
    assert msgspec.json.decode(http.get(f"/admin/variants/{view.reference}").content, type=VariantView) == view
    listed = msgspec.json.decode(http.get("/admin/variants").content, type=tuple[VariantView, ...])
    assert view in listed
    loaded = http.post("/admin/engines", json={"variant": view.reference}).raise_for_status()
    engine = msgspec.json.decode(loaded.content, type=EngineView)
    assert engine.state is EngineState.READY
    assert engine.variants == (view.reference,)
    assert http.delete(f"/admin/engines/{view.reference}").status_code == 204


def test_an_engine_that_serves_is_not_unloaded(http: httpx.Client, served: Served) -> None:
    response = http.delete(f"/admin/engines/{served.references['tutor']}")
    assert response.status_code == 409
    assert response.headers["x-should-retry"] == "false"
    assert response.json()["error"]["code"] == "promotion_refused"


def test_a_deployment_is_shown_alone_and_in_the_list(http: httpx.Client) -> None:
    shown = _deployment(http)
    assert shown.model == "tutor"
    assert msgspec.json.decode(http.get("/admin/deployments").content, type=tuple[Deployment, ...]) == (shown,)


def test_an_override_and_a_rollback_are_made_and_listed(http: httpx.Client) -> None:
    candidate = _register(http, "faulty")
    before = _deployment(http)
    body = _override(candidate.reference, revision=before.revision)
    done = http.post("/admin/promotions", json=body).raise_for_status()
    view = msgspec.json.decode(done.content, type=PromotionView)
    assert view.deployment.incumbent == candidate.digest
    back = {"model": "tutor", "expected_revision": view.deployment.revision, "rollback": True}
    http.post("/admin/promotions", json=back).raise_for_status()
    assert _deployment(http).incumbent == before.incumbent
    listed = http.get("/admin/promotions", params={"model": "tutor"}).content
    kinds = {promotion.kind for promotion in msgspec.json.decode(listed, type=tuple[Promotion, ...])}
    assert kinds == {PromotionKind.BOOTSTRAP, PromotionKind.OVERRIDE, PromotionKind.ROLLBACK}
    assert http.get("/admin/promotions", params={"model": "other"}).json() == []


def test_a_promotion_of_another_revision_is_a_conflict_that_clients_do_not_repeat(http: httpx.Client) -> None:
    candidate = _register(http, "faulty")
    response = http.post("/admin/promotions", json=_override(candidate.reference, revision=1_000_000))
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "revision_conflict"
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/admin/variants", {}, "missing_required_parameter", "source"),
        ("/admin/variants", {"source": "/a", "bits": 4}, "unknown_parameter", "bits"),
        ("/admin/variants", {"source": "/a", "name": "a\nb"}, "invalid_value", "name"),
        ("/admin/variants", {"source": "/a", "name": "a\n"}, "invalid_value", "name"),
        ("/admin/engines", {"variant": 5}, "invalid_type", "variant"),
        ("/admin/promotions", {"model": "tutor"}, "missing_required_parameter", "expected_revision"),
        ("/admin/evaluations", {"schema": 2}, "invalid_value", "schema"),
    ],
)
def test_a_wrong_body_is_refused_by_its_field(
    http: httpx.Client, path: str, body: dict[str, object], code: str, param: str
) -> None:
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert (response.json()["error"]["code"], response.json()["error"]["param"]) == (code, param)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/admin/variants/nobody@0123456789ab", "variant_not_found"),
        ("/admin/deployments/nobody", "model_not_found"),
        ("/admin/deployments/organisation/model", "model_not_found"),
        ("/admin/evaluations/nobody", "not_found"),
    ],
)
def test_what_does_not_exist_is_not_found(http: httpx.Client, path: str, code: str) -> None:
    response = http.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == code


def test_a_model_that_cannot_be_read_is_named(http: httpx.Client, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    response = http.post("/admin/variants", json={"source": str(broken)})
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "model_unreadable"
    assert str(broken) in response.json()["error"]["message"]


def test_a_request_beyond_the_queue_is_told_when_to_come_back(http: httpx.Client, served: Served) -> None:
    with http.stream(
        "POST",
        "/v1/chat/completions",
        json={"model": "tutor", "messages": [{"role": "user", "content": "slowly"}], "stream": True},
    ) as occupied:
        parts = occupied.iter_bytes()  # held: httpx closes the connection with its iterator
        next(parts)
        with (
            openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client,
            pytest.raises(openai.RateLimitError) as caught,
        ):
            client.chat.completions.create(model="tutor", messages=[{"role": "user", "content": "Hello"}])
    assert caught.value.code == "queue_full"
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_gateway_that_serves_is_ready(http: httpx.Client, served: Served) -> None:
    assert http.get("/health").json() == {"status": "alive"}
    response = http.get("/ready")
    assert response.status_code == 200
    assert response.json()["ready"] is True
    assert [served.references["tutor"]] in [engine["variants"] for engine in response.json()["engines"]]


def test_metrics_are_in_prometheus_format(http: httpx.Client) -> None:
    response = http.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'gateway_engine_up{role="incumbent"} 1.0' in response.text
