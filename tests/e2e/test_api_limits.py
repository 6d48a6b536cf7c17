"""What is not a request is a clear 4xx in OpenAI's shape, and what clients read beside the body says what to do."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Generator

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.contracts.keys import KeyRole
from gateway.keys import KeyRing, load_keys
from gateway.settings import (
    ClassSettings,
    EngineSettings,
    KeySettings,
    QueueSettings,
    ServerSettings,
    Settings,
)
from tests.support.programs import wait_until
from tests.support.served import SCRIPTED, Served, serving

CHAT = "/v1/chat/completions"
PAGE = "https://chat.example.org"
BODY = {"model": "tutor", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")),
        server=ServerSettings(cors_origins=(PAGE,)),
        engine=EngineSettings(max_rows=1),
        queue=QueueSettings(interactive=ClassSettings(max_queued=0)),
    )
    with serving(settings, [SCRIPTED / "tutor"]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


def _error(response: httpx.Response, status: int) -> dict[str, str | None]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert int(response.headers["openai-processing-ms"]) >= 0
    (error,) = response.json().values()
    assert set(error) == {"message", "type", "param", "code"}
    return error


# --- routes and methods ---


@pytest.mark.parametrize(
    "path",
    [
        "/v1/completions/x",
        "/v1/embeddings",
        "/v1/audio/speech",
        "/v1/images/generations",
        "/v1/moderations",
        "/v1/files",
        "/v1",
        "/v1/chat",
        "/chat/completions",
        "/%00/é?x=%ff",
    ],
)
def test_a_route_that_is_not_offered_is_not_found_and_the_answer_names_those_that_are(
    http: httpx.Client, path: str
) -> None:
    error = _error(http.post(path, json={"model": "tutor", "input": "x"}), 404)
    assert (error["code"], error["type"]) == ("not_found", "invalid_request_error")
    for offered in ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"):
        assert f"POST {offered}" in (error["message"] or "")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_method_that_a_route_does_not_take_is_told_which_it_takes(http: httpx.Client, method: str) -> None:
    response = http.request(method, CHAT)
    assert _error(response, 405)["code"] == "method_not_allowed"
    assert "POST" in response.headers["allow"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere?q=secret", 404), ("GET", CHAT, 405)])
def test_a_request_that_no_route_takes_leaves_a_line(http: httpx.Client, method: str, path: str, status: int) -> None:
    wanted = {"event": "request_finished", "method": method, "status": status, "path": path.partition("?")[0]}
    with capture_logs() as logs:
        http.request(method, path)
        # The line is written once the answer has been sent, so the client may be ahead of it.
        wait_until(lambda: any(wanted.items() <= line.items() for line in logs))
    assert "secret" not in str(logs)


# --- bodies ---


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"\x00", "invalid_json"),
        (b"not json", "invalid_json"),
        (b"[]", "invalid_type"),
        (b'"text"', "invalid_type"),
        (json.dumps(BODY).encode("utf-16"), "invalid_json"),
        (json.dumps(BODY).replace("Hello", "\\ud800").encode(), "invalid_json"),
        (json.dumps(BODY, ensure_ascii=False).replace("Hello", "\xff").encode("latin-1"), "invalid_json"),
        (b'{"model": "tutor", "messages": ' + b"[" * 50_000, "invalid_type"),
        (
            b'{"tools": [{"type": "function", "function": {"name": "f", "parameters": ' + b'{"a":' * 50_000,
            "invalid_json",
        ),
    ],
)
def test_a_body_that_is_no_request_is_a_bad_request(http: httpx.Client, body: bytes, code: str) -> None:
    assert _error(http.post(CHAT, content=body), 400)["code"] == code


def test_a_schema_that_is_nested_too_deeply_is_a_bad_request(http: httpx.Client) -> None:
    for depth in (60, 400):
        parameters = json.loads('{"properties":{"a":' * (depth // 2) + "{}" + "}}" * (depth // 2))
        tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
        error = _error(http.post(CHAT, json={**BODY, "tools": tools}), 400)
        assert error["param"] == "tools[0].function.parameters"


def test_characters_that_are_hard_on_others_are_answered(http: httpx.Client) -> None:
    content = "\x00\x1b\u2028\ufffe\U0010ffff<|im_end|>{{ 7 * 7 }}"
    response = http.post(CHAT, json={"model": "tutor", "messages": [{"role": "user", "content": content}]})
    assert response.json()["choices"][0]["message"]["content"] == "I do not know."


def test_a_content_type_is_not_needed(http: httpx.Client) -> None:
    response = http.post(CHAT, content=json.dumps(BODY), headers={"content-type": "text/plain"})
    assert response.status_code == 200


# --- headers ---


@pytest.mark.parametrize("size_bytes", [100_000, 1_000_000])
def test_headers_beyond_the_servers_limit_are_a_4xx(served: Served, size_bytes: int) -> None:
    url = httpx.URL(served.url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):  # it may close before it has read all, which is a refusal too
            connection.sendall(b"x-large: " + b"x" * size_bytes + b"\r\n\r\n")
            answer = connection.recv(65536)
    assert not answer or answer.startswith(b"HTTP/1.1 4")


def test_the_gateway_answers_after_whatever_was_sent(served: Served, http: httpx.Client) -> None:
    url = httpx.URL(served.url)
    for junk in (b"\x16\x03\x01\x02", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b""):
        with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)
    assert http.post(CHAT, json=BODY).status_code == 200


def test_a_full_line_says_when_to_ask_again(served: Served) -> None:
    async def ask_all() -> list[httpx.Response]:
        body = {"model": "tutor", "messages": [{"role": "user", "content": "slowly"}], "max_tokens": 30}
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
            return await asyncio.gather(*[http.post(CHAT, json=body) for _ in range(6)])

    answers = asyncio.run(ask_all())
    assert any(answer.status_code == 200 for answer in answers)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    for answer in refused:
        error = _error(answer, 429)
        assert error["code"] == "queue_full"
        assert "context" not in (error["message"] or "")
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        assert "x-should-retry" not in answer.headers


# --- web pages ---


def test_a_page_that_is_configured_may_call(http: httpx.Client) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = http.options(CHAT, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    response = http.post(CHAT, json=BODY, headers={"origin": PAGE})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in response.headers["access-control-expose-headers"]


def test_a_page_that_is_not_configured_may_not(http: httpx.Client) -> None:
    other = "https://evil.example.org"
    preflight = http.options(CHAT, headers={"origin": other, "access-control-request-method": "POST"})
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    response = http.post(CHAT, json=BODY, headers={"origin": other})
    assert _error(response, 403)["code"] == "permission_denied"
    assert "access-control-allow-origin" not in response.headers


def test_without_configuration_no_page_may_and_with_keys_a_page_needs_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    keys: KeyRing = load_keys(
        [KeySettings(name="chat", role=KeyRole.CHAT, secret_env="KEY")],  # noqa: S106 - a variable's name
        environ={"KEY": "secret-chat"},
    )
    settings = Settings(state_dir=str(tmp_path_factory.mktemp("state")), server=ServerSettings(cors_origins=("*",)))
    with serving(settings, [SCRIPTED / "tutor"], keys=keys) as served:
        response = httpx.post(served.url + CHAT, json=BODY, headers={"origin": PAGE})
        assert response.status_code == 401
        assert response.headers["access-control-allow-origin"] == "*"
        allowed = {"origin": PAGE, "authorization": "Bearer secret-chat"}
        assert httpx.post(served.url + CHAT, json=BODY, headers=allowed, timeout=20).status_code == 200


# --- accepted without effect ---


def test_fields_without_effect_change_nothing(http: httpx.Client) -> None:
    plain = http.post(CHAT, json=BODY).json()["choices"]
    fields = {
        "user": "u",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "store": True,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "verbosity": "high",
        "parallel_tool_calls": False,
        "response_format": {"type": "text"},
    }
    assert http.post(CHAT, json={**BODY, **fields}).json()["choices"] == plain


@pytest.mark.parametrize(
    "field",
    [
        "functions",
        "function_call",
        "modalities",
        "audio",
        "prediction",
        "web_search_options",
        "best_of",
        "echo",
        "suffix",
    ],
)
def test_a_field_that_is_not_supported_is_refused_by_name(http: httpx.Client, field: str) -> None:
    error = _error(http.post(CHAT, json={**BODY, field: ["x"]}), 400)
    assert (error["code"], error["param"]) == ("unknown_parameter", field)
