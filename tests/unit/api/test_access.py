"""Every route has its rule of access, and the rule is enforced."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from gateway.api.app import create_litestar
from gateway.api.auth import ACCESS, CONSOLE
from gateway.api.record import is_anthropic
from gateway.contracts.admin import PromotionRequest
from gateway.contracts.keys import KeyRole
from gateway.keys import KeyRing
from gateway.registry import Registry
from gateway.service import Gateway
from gateway.settings import ServerSettings, Settings
from gateway.telemetry.metrics import Metrics
from tests.support.served import key_of_each_role

pytestmark = pytest.mark.anyio

KEYS = key_of_each_role()
EXPECTED = {
    ("GET", "/health"): None,
    ("GET", "/ready"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/metrics"): KeyRole.CHAT,
    ("POST", "/v1/chat/completions"): KeyRole.CHAT,
    ("POST", "/v1/completions"): KeyRole.CHAT,
    ("POST", "/v1/responses"): KeyRole.CHAT,
    ("POST", "/v1/messages"): KeyRole.CHAT,
    ("POST", "/v1/messages/count_tokens"): KeyRole.CHAT,
    ("GET", "/v1/responses/{response_id}"): KeyRole.CHAT,
    ("DELETE", "/v1/responses/{response_id}"): KeyRole.CHAT,
    ("GET", "/v1/responses/{response_id}/input_items"): KeyRole.CHAT,
    ("POST", "/tokenize"): KeyRole.CHAT,
    ("POST", "/detokenize"): KeyRole.CHAT,
    ("GET", "/v1/models"): KeyRole.CHAT,
    ("GET", "/v1/models/{model}"): KeyRole.CHAT,
    ("GET", "/admin/variants"): KeyRole.EVALUATION,
    ("POST", "/admin/variants"): KeyRole.EVALUATION,
    ("GET", "/admin/variants/{reference}"): KeyRole.EVALUATION,
    ("DELETE", "/admin/variants/{reference}"): KeyRole.ADMIN,
    ("GET", "/admin/engines"): KeyRole.EVALUATION,
    ("POST", "/admin/engines"): KeyRole.EVALUATION,
    ("DELETE", "/admin/engines/{reference}"): KeyRole.EVALUATION,
    ("POST", "/admin/loans"): KeyRole.EVALUATION,
    ("DELETE", "/admin/loans"): KeyRole.EVALUATION,
    ("GET", "/admin/status"): KeyRole.EVALUATION,
    ("GET", "/admin/host"): KeyRole.EVALUATION,
    ("GET", "/admin/deployments"): KeyRole.EVALUATION,
    ("GET", "/admin/deployments/{model}"): KeyRole.EVALUATION,
    ("GET", "/admin/builds"): KeyRole.EVALUATION,
    ("POST", "/admin/builds"): KeyRole.EVALUATION,
    ("GET", "/admin/builds/{build_id}"): KeyRole.EVALUATION,
    ("DELETE", "/admin/builds/{build_id}"): KeyRole.EVALUATION,
    ("GET", "/admin/progress"): KeyRole.EVALUATION,
    ("POST", "/admin/progress"): KeyRole.EVALUATION,
    ("GET", "/admin/evaluations"): KeyRole.EVALUATION,
    ("POST", "/admin/evaluations"): KeyRole.EVALUATION,
    ("POST", "/admin/score"): KeyRole.EVALUATION,
    ("GET", "/admin/evaluations/{evaluation_id}"): KeyRole.EVALUATION,
    ("GET", "/admin/promotions"): KeyRole.EVALUATION,
    ("POST", "/admin/promotions"): KeyRole.EVALUATION,
    ("GET", "/admin/keys"): KeyRole.ADMIN,
    ("POST", "/admin/keys"): KeyRole.ADMIN,
    ("POST", "/admin/keys/{name}/rotation"): KeyRole.ADMIN,
    ("DELETE", "/admin/keys/{name}"): KeyRole.ADMIN,
    ("GET", "/"): KeyRole.EVALUATION,
    ("GET", "/sign-in"): None,
    ("POST", "/sign-in"): None,
    ("POST", "/sign-out"): KeyRole.EVALUATION,
    ("GET", "/console/assets/{version}/{path}"): None,
    ("GET", "/console/overview"): KeyRole.EVALUATION,
    ("GET", "/console/recent"): KeyRole.EVALUATION,
    ("GET", "/console/promotion"): KeyRole.ADMIN,
    ("POST", "/console/promotions"): KeyRole.ADMIN,
    ("GET", "/console/unloading"): KeyRole.ADMIN,
    ("POST", "/console/unloading"): KeyRole.ADMIN,
    ("GET", "/playground"): KeyRole.EVALUATION,
    ("POST", "/playground/engines"): KeyRole.EVALUATION,
    ("GET", "/requests"): KeyRole.EVALUATION,
    ("GET", "/evaluations"): KeyRole.EVALUATION,
    ("GET", "/evaluations/{evaluation_id}"): KeyRole.EVALUATION,
    ("GET", "/history"): KeyRole.EVALUATION,
}
OWN_PAGE = {"sec-fetch-site": "same-origin"}
"""What a browser says of a request of the console's own."""


@asynccontextmanager
async def _app(state_dir: Path, *, keys: KeyRing = KEYS, host: str = "127.0.0.1") -> AsyncGenerator[Litestar]:
    registry = await Registry.open(state_dir)
    settings = Settings(state_dir=str(state_dir), server=ServerSettings(host=host))
    try:
        yield create_litestar(Gateway(settings, registry=registry, keys=keys, metrics=Metrics(), environ=os.environ))
    finally:
        await registry.close()


def _client(app: Litestar, role: KeyRole | str | None = None) -> httpx.AsyncClient:
    headers = {} if role is None else {"authorization": f"Bearer secret-{role}"}
    # httpx types an ASGI application more loosely than Litestar types itself.
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - the two spell the same protocol
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers)


def _routes(app: Litestar) -> set[tuple[str, str]]:
    return {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method != "OPTIONS"
    }


async def test_every_route_is_in_the_table_and_the_table_is_as_reviewed(tmp_path: Path) -> None:
    async with _app(tmp_path) as app:
        assert _routes(app) == set(ACCESS)
    assert dict(ACCESS) == EXPECTED


async def test_each_route_takes_the_roles_from_its_own_upwards_and_no_other(tmp_path: Path) -> None:
    async with _app(tmp_path, host="0.0.0.0") as app:  # noqa: S104 - a setting that is read; nothing is bound
        for role in (None, "unknown", *KeyRole):
            async with _client(app, role) as client:
                for (method, path), needed in EXPECTED.items():
                    response = await client.request(method, path, content=b"{}", headers=OWN_PAGE)
                    if needed is None:
                        expected = False
                    elif isinstance(role, KeyRole):
                        expected = not role.allows(needed)
                    else:
                        expected = True
                    refused = response.status_code in {401, 403}
                    assert refused is expected, f"{role} {method} {path} gave {response.status_code}"
                    if refused:
                        assert response.status_code == (403 if isinstance(role, KeyRole) else 401)


@pytest.mark.parametrize("role", [None, "unknown"])
async def test_who_is_not_known_is_told_how_to_be(tmp_path: Path, role: str | None) -> None:
    async with _app(tmp_path) as app, _client(app, role) as client:
        response = await client.get("/v1/models")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["code"] == "invalid_api_key"


async def test_a_role_that_does_not_suffice_is_told_which_would(tmp_path: Path) -> None:
    async with _app(tmp_path) as app, _client(app, KeyRole.CHAT) as client:
        response = await client.get("/admin/variants")
    assert response.json()["error"]["code"] == "permission_denied"
    assert "`evaluation`" in response.json()["error"]["message"]


async def test_without_keys_everything_is_open(tmp_path: Path) -> None:
    async with _app(tmp_path, keys=KeyRing()) as app, _client(app) as client:
        for method, path in EXPECTED:
            if method != "GET" and (method, path) in CONSOLE:
                continue  # only the console's own pages: see test_console_access.py
            response = await client.request(method, path, content=b"{}")
            assert response.status_code not in {401, 403}, f"{method} {path}"


# A rebound name, a form on a page, a sandboxed frame, a name that merely begins like ours, and what is no name at all.
WEB_PAGES: tuple[dict[str, str], ...] = (
    {"host": "attacker.example:8080"},
    {"host": "127.0.0.1.attacker.example"},
    {"host": "192.0.2.1:8080"},
    {"host": ""},
    {"host": "[::1"},
    {"origin": "https://attacker.example"},
    {"origin": "http://localhost.attacker.example"},
    {"origin": "null"},
    {"origin": ""},
    {"host": "localhost:8080", "origin": "http://attacker.example:8080"},
)
OURS: tuple[dict[str, str], ...] = (
    {},
    {"host": "localhost:8080"},
    {"host": "[::1]:8080"},
    {"host": "127.0.0.2"},
    {"origin": "http://localhost:3000"},
    {"origin": "http://127.0.0.1"},
)


@pytest.mark.parametrize("headers", WEB_PAGES)
async def test_without_keys_no_web_page_is_answered(tmp_path: Path, headers: dict[str, str]) -> None:
    async with _app(tmp_path, keys=KeyRing()) as app, _client(app) as client:
        for method, path in EXPECTED:
            response = await client.request(method, path, content=b"{}", headers=headers)
            assert response.status_code == 403, f"{method} {path}"
            name, said = ("type", "permission_error") if is_anthropic(path) else ("code", "permission_denied")
            assert response.json()["error"][name] == said
            assert "configure keys" in response.json()["error"]["message"]


@pytest.mark.parametrize("headers", OURS)
async def test_without_keys_what_is_addressed_to_loopback_is_answered(tmp_path: Path, headers: dict[str, str]) -> None:
    async with _app(tmp_path, keys=KeyRing()) as app, _client(app) as client:
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize("headers", WEB_PAGES)
async def test_with_a_key_any_name_and_any_page_are_answered(tmp_path: Path, headers: dict[str, str]) -> None:
    async with _app(tmp_path) as app, _client(app, KeyRole.CHAT) as client:
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


async def test_metrics_need_no_key_on_loopback(tmp_path: Path) -> None:
    async with _app(tmp_path) as app, _client(app) as client:
        assert (await client.get("/metrics")).status_code == 200


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/completions", {"prompt": "Hello"}),
        ("/v1/responses", {"input": "Hello"}),
        ("/tokenize", {"prompt": "Hello"}),
        ("/detokenize", {"tokens": [1]}),
    ],
)
@pytest.mark.parametrize(("role", "status"), [(KeyRole.CHAT, 403), (KeyRole.EVALUATION, 404), (KeyRole.ADMIN, 404)])
async def test_a_pin_needs_the_evaluation_role(
    tmp_path: Path, path: str, asked: dict[str, object], role: KeyRole, status: int
) -> None:
    async with _app(tmp_path) as app, _client(app, role) as client:
        response = await client.post(
            path, json={"model": "nobody", **asked}, headers={"x-gateway-variant": "a@01234567"}
        )
    assert response.status_code == status


@pytest.mark.parametrize(
    ("change", "role", "status"),
    [
        ({"variant": "a@01234567", "evaluation_id": "e"}, KeyRole.EVALUATION, 404),
        ({"variant": "a@01234567", "override_reason": "hurry"}, KeyRole.EVALUATION, 403),
        ({"variant": "a@01234567", "override_reason": ""}, KeyRole.EVALUATION, 403),
        ({"variant": "a@01234567", "override_reason": "hurry"}, KeyRole.ADMIN, 404),
        ({"rollback": True}, KeyRole.EVALUATION, 403),
        ({"rollback": True}, KeyRole.ADMIN, 404),
    ],
)
async def test_an_override_and_a_rollback_need_the_admin_role(
    tmp_path: Path, change: dict[str, object], role: KeyRole, status: int
) -> None:
    body = {"model": "nobody", "expected_revision": 1, **change}
    assert set(body) <= set(PromotionRequest.__struct_fields__)
    async with _app(tmp_path) as app, _client(app, role) as client:
        response = await client.post("/admin/promotions", json=body)
    assert response.status_code == status


async def test_a_refused_request_is_not_read(tmp_path: Path) -> None:
    read = False

    async def body() -> AsyncGenerator[bytes]:
        nonlocal read
        read = True
        yield b"{}"

    async with _app(tmp_path) as app, _client(app) as client:
        response = await client.post("/v1/chat/completions", content=body())
    assert response.status_code == 401
    assert not read


async def test_no_request_waits_for_a_thread_to_be_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[object] = []
    async with _app(tmp_path) as app, _client(app) as client:
        loop = asyncio.get_running_loop()
        hand = loop.run_in_executor

        def note(*call: Any) -> Any:
            handed.append(call)
            return hand(*call)

        monkeypatch.setattr(loop, "run_in_executor", note)
        assert (await client.get("/health")).status_code == 200
        monkeypatch.undo()
    assert not handed


async def test_the_header_of_anthropics_clients_proves_nothing_on_other_routes(tmp_path: Path) -> None:
    async with _app(tmp_path) as app, _client(app) as client:
        response = await client.get("/v1/models", headers={"x-api-key": "secret-admin"})
    assert response.status_code == 401
