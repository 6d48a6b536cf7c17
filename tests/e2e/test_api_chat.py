"""Chat completions as the official client sees them, over a real server and a scripted engine."""

import asyncio
import json
import time
from collections.abc import Callable, Generator, Iterator

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionContentPartTextParam, ChatCompletionMessageParam

from gateway.settings import ServerSettings, Settings
from tests.support.served import SCRIPTED, Served, held_rows, serving

MAX_BODY_BYTES = 64 * 1024
PATIENCE_S = 5.0


FALTERING = """
default_text = "All is well."
step_delay_s = 0.02
faults = [{match = "EARLY", kind = "raise", at_token = 1}, {match = "LATE", kind = "raise", at_token = 4}]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    faltering = tmp_path_factory.mktemp("models") / "faltering"
    faltering.mkdir()
    (faltering / "scripted.toml").write_text(FALTERING)
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")), server=ServerSettings(max_body_bytes=MAX_BODY_BYTES)
    )
    with serving(settings, [SCRIPTED / "tutor", faltering]) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


def _ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.02)


# --- answers ---


def test_an_answer_is_whole(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="tutor", messages=_ask("What is the capital of France?"))
    (choice,) = completion.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == "The capital of France is Paris."
    assert choice.finish_reason == "stop"
    assert completion.object == "chat.completion"
    assert completion.model == "tutor"
    assert completion.id.startswith("chatcmpl-")
    assert completion.usage is not None
    assert completion.usage.prompt_tokens > 0
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_a_stream_says_the_same_in_parts(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="tutor", messages=_ask("Which languages?"), stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Grüße, 日本語, 🙂!"
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", *[None] * (len(chunks) - 1)]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_done(http: httpx.Client) -> None:
    body = {"model": "tutor", "messages": _ask("count"), "stream": True}
    response = http.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text.endswith("\n\ndata: [DONE]\n\n")


def test_usage_that_is_asked_for_comes_in_one_trailer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tutor", messages=_ask("count"))
    stream = client.chat.completions.create(
        model="tutor", messages=_ask("count"), stream=True, stream_options={"include_usage": True}
    )
    *parts, trailer = list(stream)
    assert all(part.usage is None and part.choices for part in parts)
    assert trailer.choices == []
    assert trailer.usage == whole.usage


def test_the_clients_own_stream_helper_reads_it(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="tutor", messages=_ask("count")) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == "one two three four five six seven eight nine ten"


def test_an_answer_ends_before_a_stop_string(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="tutor", messages=_ask("count"), stop=["four", "nine"])
    assert completion.choices[0].message.content == "one two three "
    assert completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut_at_its_limit(client: openai.OpenAI, name: str) -> None:
    completion = client.chat.completions.create(model="tutor", messages=_ask("count"), extra_body={name: 3})
    assert completion.choices[0].message.content == "one"
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 3


def test_parts_of_text_are_read_as_one(client: openai.OpenAI) -> None:
    parts: list[ChatCompletionContentPartTextParam] = [
        {"type": "text", "text": "What is the capital"},
        {"type": "text", "text": " of France?"},
    ]
    completion = client.chat.completions.create(model="tutor", messages=[{"role": "user", "content": parts}])
    assert completion.choices[0].message.content == "The capital of France is Paris."


def test_an_answer_names_its_request_its_variant_and_its_time(http: httpx.Client, served: Served) -> None:
    body = {"model": "tutor", "messages": _ask("count")}
    for stream in (False, True):
        response = http.post(
            "/v1/chat/completions", json={**body, "stream": stream}, headers={"x-request-id": "mine-7"}
        )
        assert response.headers["x-request-id"] == "mine-7"
        assert response.headers["x-gateway-variant"] == served.references["tutor"]
        assert int(response.headers["openai-processing-ms"]) >= 0


@pytest.mark.parametrize("name", ["x" * 129, "a\tb", "é"])
def test_a_request_id_that_is_not_plain_is_replaced(http: httpx.Client, name: str) -> None:
    response = http.get("/health", headers=[(b"x-request-id", name.encode())])
    assert response.headers["x-request-id"] != name
    assert len(response.headers["x-request-id"]) == 32


def test_two_requests_may_bear_the_same_id(served: Served) -> None:
    async def both() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
            body = {"model": "tutor", "messages": _ask("count")}
            return await asyncio.gather(
                *[http.post("/v1/chat/completions", json=body, headers={"x-request-id": "same"}) for _ in range(2)]
            )

    for response in asyncio.run(both()):
        assert response.json()["choices"][0]["message"]["content"].endswith("ten")


# --- pins ---


def test_a_pinned_variant_answers_under_the_models_name(http: httpx.Client, served: Served) -> None:
    reference = served.references["faltering"]
    response = http.post(
        "/v1/chat/completions",
        json={"model": "tutor", "messages": _ask("Hello")},
        headers={"x-gateway-variant": reference},
    )
    assert response.headers["x-gateway-variant"] == reference
    assert response.json()["model"] == "tutor"
    assert response.json()["choices"][0]["message"]["content"] == "All is well."


def test_a_pin_to_what_is_not_registered_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(
            model="tutor", messages=_ask("Hello"), extra_headers={"x-gateway-variant": "nobody@0123456789ab"}
        )
    assert caught.value.code == "variant_not_found"


# --- refusals ---


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=_ask("Hello"))
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "serves: faltering, tutor" in caught.value.message


def test_no_messages_are_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tutor", messages=[])
    assert (caught.value.code, caught.value.param) == ("invalid_value", "messages")


@pytest.mark.parametrize("tokens", [0, -1, 2**31, 10**30])
def test_a_senseless_number_of_tokens_is_a_bad_request(client: openai.OpenAI, tokens: int) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tutor", messages=_ask("Hello"), max_tokens=tokens)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "max_tokens")


def test_stream_options_without_a_stream_are_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="tutor", messages=_ask("Hello"), extra_body={"stream_options": {"include_usage": True}}
        )
    assert caught.value.param == "stream_options"


def test_a_parameter_that_has_no_effect_here_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tutor", messages=_ask("Hello"), modalities=["text", "audio"])
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "modalities")


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context_is_a_bad_request(client: openai.OpenAI, *, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tutor", messages=_ask("x" * 9000), stream=stream)
    assert caught.value.code == "context_length_exceeded"


def test_malformed_json_is_a_bad_request_with_its_place(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", content=b'{"model": "tutor", "messages": [}')
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "invalid_json"
    assert "byte 32" in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("size_bytes", [MAX_BODY_BYTES + 1, 6 * MAX_BODY_BYTES])
def test_an_oversize_body_is_refused_and_the_client_hears_it(client: openai.OpenAI, size_bytes: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="tutor", messages=_ask("x" * size_bytes))
    assert caught.value.status_code == 413
    assert caught.value.code == "request_too_large"


def test_a_body_at_the_limit_is_read(http: httpx.Client) -> None:
    body = b'{"model": "nobody", "messages": [{"role": "user", "content": ""}]}'
    response = http.post("/v1/chat/completions", content=body.ljust(MAX_BODY_BYTES))
    assert response.json()["error"]["code"] == "model_not_found"


def test_a_body_in_chunks_without_a_length_has_the_same_limit(http: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        yield from [b" " * 1024] * (MAX_BODY_BYTES // 1024 + 1)

    assert http.post("/v1/chat/completions", content=parts()).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/embeddings", 404, "not_found"),
        ("GET", "/v2/models", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_route_is_refused_in_the_same_shape(
    http: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    response = http.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert response.headers["x-request-id"]


# --- failures and departures ---


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_token_has_its_own_status(client: openai.OpenAI, *, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="faltering", messages=_ask("EARLY"), stream=stream)
    assert caught.value.status_code == 500
    assert caught.value.code == "engine_fault"


def test_a_failure_in_mid_stream_raises_in_the_client(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="faltering", messages=_ask("LATE"), stream=True)
    said: list[str] = []
    with pytest.raises(openai.APIError, match="engine") as caught:
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert caught.value.code == "engine_fault"
    assert "".join(said) == "All"


def test_a_failure_in_mid_stream_is_the_last_event(http: httpx.Client) -> None:
    body = {"model": "faltering", "messages": _ask("LATE"), "stream": True}
    response = http.post("/v1/chat/completions", json=body)
    events = [event.removeprefix("data: ") for event in response.text.split("\n\n") if event]
    assert json.loads(events[0])["choices"][0]["delta"]["role"] == "assistant"
    assert set(json.loads(events[-1])["error"]) == {"message", "type", "param", "code"}
    assert "[DONE]" not in events


def test_a_client_that_leaves_a_stream_frees_its_row(client: openai.OpenAI, http: httpx.Client, served: Served) -> None:
    stream = client.chat.completions.create(model="tutor", messages=_ask("slowly"), stream=True)
    next(iter(stream))
    reference = served.references["tutor"]
    assert held_rows(http, reference) == 1
    stream.close()
    _wait_until(lambda: held_rows(http, reference) == 0)


def test_a_client_that_leaves_before_a_whole_answer_frees_its_row(http: httpx.Client, served: Served) -> None:
    reference = served.references["tutor"]

    async def ask_and_leave() -> None:
        body = {"model": "tutor", "messages": _ask("slowly")}
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as leaving:
            asking = asyncio.create_task(leaving.post("/v1/chat/completions", json=body))
            await asyncio.to_thread(_wait_until, lambda: held_rows(http, reference) == 1)
            asking.cancel()
            await asyncio.wait([asking])

    asyncio.run(ask_and_leave())
    _wait_until(lambda: held_rows(http, reference) == 0)


def test_requests_after_a_failure_are_answered(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError):
        client.chat.completions.create(model="faltering", messages=_ask("EARLY"))
    completion = client.chat.completions.create(model="faltering", messages=_ask("Hello"))
    assert completion.choices[0].message.content == "All is well."


# --- models ---


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    cards = {card.id: card for card in client.models.list()}
    assert set(cards) == {"tutor", "faltering"}
    assert cards["tutor"].object == "model"
    assert cards["tutor"].owned_by
    assert cards["tutor"].created > 1_700_000_000
    assert client.models.retrieve("tutor") == cards["tutor"]


@pytest.mark.parametrize("name", ["gpt-4o", "organisation/model"])
def test_a_model_that_is_not_served_is_not_found(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(name)
    assert caught.value.code == "model_not_found"
    assert f"`{name}`" in caught.value.message
