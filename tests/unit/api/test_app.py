"""The application answers for what its parts do not expect, too."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.api.app import create_app
from gateway.keys import KeyRing
from gateway.registry import Registry
from gateway.service import Gateway
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


class _Broken(Gateway):
    """A gateway with a fault in it."""

    async def models(self) -> tuple[()]:
        raise ValueError("what the client sent")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    registry = await Registry.open(tmp_path)
    gateway = _Broken(
        Settings(state_dir=str(tmp_path)), registry=registry, keys=KeyRing(), metrics=Metrics(), environ=os.environ
    )
    # httpx types an ASGI application more loosely than Litestar types itself.
    transport = httpx.ASGITransport(create_app(gateway))  # pyright: ignore[reportArgumentType] - one protocol, two spellings
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
    await registry.close()


async def test_a_fault_of_ours_is_a_500_that_says_nothing_of_the_request(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        response = await client.get("/v1/models")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "what the client sent" not in response.text
    assert [log["event"] for log in logs] == ["request_failed_unexpectedly", "request_finished"]
    assert any(frame.endswith("models") for frame in logs[0]["frames"])
    assert "what the client sent" not in str(logs)


async def test_a_gateway_without_a_deployment_lives_and_is_not_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).status_code == 200
    response = await client.get("/ready")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "detail": "no Deployment is configured", "engines": []}


async def test_no_page_of_documentation_fetches_scripts_from_elsewhere(client: httpx.AsyncClient) -> None:
    assert (await client.get("/schema")).status_code == 404
