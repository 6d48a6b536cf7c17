"""`/v1/messages` as the official `anthropic` client speaks it, over a real server and a scripted engine."""

import json
from collections.abc import Generator, MutableMapping
from typing import Any

import anthropic
import httpx
import pydantic
import pytest
import structlog
from anthropic.types import (
    Message,
    MessageParam,
    RawMessageStreamEvent,
    TextBlock,
    ThinkingBlock,
    ToolParam,
    ToolUseBlock,
)
from anthropic.types.shared import ErrorResponse

from gateway.contracts.keys import KeyRole
from gateway.keys import KeyRing, load_keys
from gateway.settings import KeySettings, ServerSettings, Settings
from tests.support.programs import wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, held_rows, serving

SCRIPT = """
context_length = 3000
default_text = "Nothing to call."

[[answers]]
match = "<tool_response>\\n22 degrees"
text = "It is 22 degrees."

[[answers]]
match = "<tool_response>\\nError: "
text = "It failed."

[[answers]]
match = "both"
text = '''<think>
Where?
</think>

Let me look.
<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris", "days": 12345678901234567890123}}
</tool_call>
<tool_call>
{"name": "get_weather", "arguments": {"city": "日本"}}
</tool_call>'''

[[answers]]
match = "weather"
text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'

[[answers]]
match = "think"
text = '''<think>
Two and two, 四.
</think>

Four.'''

[[answers]]
match = "ponder"
text = "Two and two.</think>Four."

[[answers]]
match = "languages"
text = "Grüße, 日本語, 🙂!"

[[answers]]
match = "silent"
text = ""

[[answers]]
match = "slowly"
text = "SLOWLY"
step_delay_s = 0.01

[[answers]]
match = "at length"
text = "."
step_delay_s = 0.8

[[faults]]
match = "LATE"
kind = "raise"
at_token = 3

[[faults]]
match = "AT ONCE"
kind = "raise"
at_token = 1
""".replace("SLOWLY", "x" * 2000)
MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "Say the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "cache_control": {"type": "ephemeral"},
}
EVENTS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(RawMessageStreamEvent)
KEYS = load_keys(
    [KeySettings(name=name, role=KeyRole.CHAT, secret_env=name, requests_per_min=3) for name in ("ann",)],
    environ={"ann": "secret-of-ann"},
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with _serving(tmp_path_factory) as served:
        yield served


def _serving(factory: pytest.TempPathFactory, *, keys: KeyRing | None = None) -> Any:
    agent = write_scripted_model(factory.mktemp("models") / "agent", SCRIPT)
    server = ServerSettings(keep_alive_interval_s=0.1)
    return serving(Settings(state_dir=str(factory.mktemp("state")), server=server), [agent], keys=keys)


@pytest.fixture(scope="module")
def client(served: Served) -> Generator[anthropic.Anthropic]:
    with _client(served) as client:
        yield client


def _client(served: Served, key: str = "unused") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.url, api_key=key, max_retries=0, timeout=20)


@pytest.fixture(scope="module")
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20, headers={"anthropic-version": "2023-06-01"}) as http:
        yield http


def _asked(text: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "agent", "max_tokens": 500, "messages": messages, **fields}


# --- whole ---


def test_a_text_is_answered_by_one_block(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**_asked("languages", metadata={"user_id": "me"}, service_tier="auto"))
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Grüße, 日本語, 🙂!"}]
    assert (message.stop_reason, message.stop_sequence, message.role) == ("end_turn", None, "assistant")
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) == 11
    assert message.usage.output_tokens == len("Grüße, 日本語, 🙂!".encode()) + 1
    assert message.id.startswith("msg_")


def test_reasoning_is_a_block_before_the_text(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**_asked("think"))
    thinking, text = message.content
    assert isinstance(thinking, ThinkingBlock)
    assert (thinking.thinking.strip(), bool(thinking.signature)) == ("Two and two, 四.", True)
    assert isinstance(text, TextBlock)
    assert text.text == "Four."
    assert message.usage.output_tokens_details is not None
    assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


@pytest.mark.parametrize(("kind", "kinds"), [("enabled", ["thinking", "text"]), ("disabled", ["text"])])
def test_thinking_reaches_the_chat_template(client: anthropic.Anthropic, kind: str, kinds: list[str]) -> None:
    # With it the scripted model's template opens the think tag.
    thinking: dict[str, Any] = {"type": kind} | ({"budget_tokens": 1024} if kind == "enabled" else {})
    message = client.messages.create(**_asked("ponder", thinking=thinking))
    assert [block.type for block in message.content] == kinds


def test_each_call_is_a_block_after_the_text(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**_asked("both", tools=[WEATHER]))
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    assert [call.input for call in calls] == [{"city": "Paris", "days": 12345678901234567890123}, {"city": "日本"}]
    assert len({call.id for call in calls}) == 2
    assert all(call.id.startswith("toolu_") for call in calls)


def test_without_parallel_calls_the_first_is_the_last(client: anthropic.Anthropic) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    message = client.messages.create(**_asked("both", tools=[WEATHER], tool_choice=choice))
    assert [block.type for block in message.content].count("tool_use") == 1


def test_a_tool_that_may_not_be_called_is_not_called(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**_asked("weather", tools=[WEATHER], tool_choice={"type": "none"}))
    assert (message.stop_reason, [block.type for block in message.content]) == ("end_turn", ["text"])


@pytest.mark.parametrize(
    ("fields", "ending", "text"),
    [
        ({"max_tokens": 4}, ("max_tokens", None), "Grü"),
        ({"stop_sequences": ["nobody", "日本"]}, ("stop_sequence", "日本"), "Grüße, "),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_why_it_ended_is_told(
    client: anthropic.Anthropic, fields: Any, ending: tuple[str, str | None], text: str, *, stream: bool
) -> None:
    asked = _asked("languages", **fields)
    if stream:
        with client.messages.stream(**asked) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**asked)
    assert (message.stop_reason, message.stop_sequence) == ending
    assert [block.to_dict()["text"] for block in message.content] == [text]


def test_what_was_kept_of_the_prompt_is_counted_apart(client: anthropic.Anthropic) -> None:
    asked = _asked("Remember this. " * 60)
    first, second = client.messages.create(**asked).usage, client.messages.create(**asked).usage
    assert (first.cache_read_input_tokens, first.cache_creation_input_tokens) == (0, 0)
    assert second.cache_read_input_tokens
    assert second.input_tokens + second.cache_read_input_tokens == first.input_tokens


# --- streams ---

ASKED: dict[str, dict[str, Any]] = {
    "text": _asked("languages"),
    "reasoning": _asked("think"),
    "hidden": _asked("think", thinking={"type": "adaptive", "display": "omitted"}),
    "calls": _asked("both", tools=[WEATHER], tool_choice={"type": "auto"}),
    "call": _asked("weather", tools=[WEATHER], system="Be brief."),
    "cut": _asked("languages", max_tokens=5),
    "cut_reasoning": _asked("think", max_tokens=12),
    "silent": _asked("silent"),
}


def _sent(http: httpx.Client, asked: dict[str, Any], **fields: Any) -> httpx.Response:
    """Return the answer that no earlier one has left anything for."""
    return http.post(MESSAGES, json=asked | fields, headers={"x-gateway-prefix-cache": "off"}).raise_for_status()


def _events(http: httpx.Client, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a stream, of which each is what the official client's types say, without comments."""
    response = _sent(http, asked, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    return _read(response.text)


def _read(text: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        if event["type"] != "error":
            EVENTS.validate_python(event)
        events.append(event)
    return events


@pytest.mark.parametrize("name", ASKED)
def test_a_stream_makes_the_message_that_is_answered_whole(http: httpx.Client, name: str) -> None:
    whole = _sent(http, ASKED[name]).json()
    Message.model_validate(whole)
    start, *between, end, stop = _events(http, ASKED[name])
    assert (start["type"], end["type"], stop) == ("message_start", "message_delta", {"type": "message_stop"})
    made = start["message"]
    assert (made["content"], made["stop_reason"]) == ([], None)
    inputs = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert [made["usage"][name] for name in inputs] == [end["usage"][name] for name in inputs]
    made |= end["delta"] | {"usage": end["usage"]}
    for index in range(len(whole["content"])):
        own = [event for event in between if event["index"] == index]
        assert own == between[between.index(own[0]) :][: len(own)]  # nothing of another's between
        begun, *deltas, stopped = own
        assert (begun["type"], stopped["type"]) == ("content_block_start", "content_block_stop")
        made["content"].append(_grown(begun["content_block"], [event["delta"] for event in deltas]))
    assert len(made["content"]) == len({event["index"] for event in between})
    assert _without_ids(made) == _without_ids(whole)


def _grown(block: dict[str, Any], deltas: list[dict[str, Any]]) -> dict[str, Any]:
    for delta in deltas:
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] += delta["signature"]
            case _:
                assert block["input"] == {}
                block["input"] = json.loads(delta["partial_json"])
    return block


def _without_ids(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message without what two answers never share."""
    blocks = [block | ({"id": ""} if "id" in block else {}) for block in message["content"]]
    return message | {"id": "", "content": blocks}


def test_the_clients_stream_helper_puts_the_pieces_together(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**_asked("both", tools=[WEATHER])) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "Let me look."
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use", "tool_use"]


def test_a_stream_with_nothing_to_say_yet_is_kept_alive(http: httpx.Client) -> None:
    text = _sent(http, _asked("at length"), stream=True).text
    assert text.startswith(": keep-alive\n\n")
    events = _read(text)
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]


def test_a_failure_after_the_first_event_is_one_last_event(client: anthropic.Anthropic, http: httpx.Client) -> None:
    *before, last = _events(http, _asked("LATE"))
    kinds = dict.fromkeys(event["type"] for event in before)
    assert list(kinds) == ["message_start", "content_block_start", "content_block_delta"]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    with pytest.raises(anthropic.APIError), client.messages.stream(**_asked("LATE")) as stream:
        stream.get_final_message()


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_event_has_its_own_status(client: anthropic.Anthropic, *, stream: bool) -> None:
    with pytest.raises(anthropic.InternalServerError) as failed:
        client.messages.create(**_asked("AT ONCE"), stream=stream)
    assert failed.value.status_code == 500
    assert failed.value.type == "api_error"


# --- conversations ---


@pytest.mark.parametrize("name", ["both", "weather"])
def test_what_was_answered_is_sent_back_with_what_its_calls_gave(client: anthropic.Anthropic, name: str) -> None:
    messages: list[MessageParam] = [{"role": "user", "content": name}]
    first = client.messages.create(model="agent", max_tokens=500, messages=messages, tools=[WEATHER])
    messages.append({"role": "assistant", "content": first.content})  # as Anthropic's guide does it
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "22 degrees"}]}
        for block in first.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results})
    second = client.messages.create(model="agent", max_tokens=500, messages=messages, tools=[WEATHER])
    assert [block.to_dict()["text"] for block in second.content] == ["It is 22 degrees."]


def test_a_call_that_failed_is_told_to_the_model(client: anthropic.Anthropic) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "22 degrees", "is_error": True}
    messages: list[dict[str, Any]] = [USER, {"role": "assistant", "content": [call]}]
    messages.append({"role": "user", "content": [result]})
    message = client.messages.create(**_asked("", messages=messages, tools=[WEATHER]))
    assert [block.to_dict()["text"] for block in message.content] == ["It failed."]


# --- counting ---


def test_what_is_counted_is_what_the_message_has(client: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": "agent", "system": "Be brief.", "tools": [WEATHER]}
    asked["messages"] = [{"role": "user", "content": [{"type": "text", "text": "think"}]}]
    usage = client.messages.create(**asked, max_tokens=5).usage
    count = client.messages.count_tokens(**asked).input_tokens
    assert count == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    shown_none = client.messages.count_tokens(**asked, tool_choice={"type": "none"}).input_tokens
    assert shown_none < count


# --- who answers, who asks, and what remains ---


def test_who_answered_stands_in_the_header_and_may_be_pinned(http: httpx.Client, served: Served) -> None:
    reference = served.references["agent"]
    for path in (MESSAGES, COUNT_TOKENS):
        body = _asked("think")
        if path == COUNT_TOKENS:
            del body["max_tokens"]
        response = http.post(path, json=body, headers={"x-gateway-variant": reference, "x-request-id": "mine"})
        assert response.raise_for_status().headers["x-gateway-variant"] == reference
        assert response.headers["x-request-id"] == response.headers["request-id"] == "mine"
        unknown = http.post(path, json=body, headers={"x-gateway-variant": "nobody@01234567"})
        assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")


def test_beta_clients_reach_the_same_route(client: anthropic.Anthropic) -> None:
    message = client.beta.messages.create(**_asked("languages"), betas=["interleaved-thinking-2025-05-14"])
    assert message.stop_reason == "end_turn"


def test_a_client_that_leaves_its_stream_frees_its_row(
    client: anthropic.Anthropic, http: httpx.Client, served: Served
) -> None:
    def held() -> int:
        return held_rows(http, served.references["agent"])

    with client.messages.stream(**_asked("slowly", max_tokens=2500)) as stream:
        next(iter(stream.text_stream))
        assert held() == 1
    wait_until(lambda: held() == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_one_line_remains_without_what_was_said(http: httpx.Client, *, stream: bool) -> None:
    request_id = f"logged-{stream}"

    def lines() -> list[MutableMapping[str, Any]]:
        return [log for log in logs if log.get("request_id") == request_id]

    with structlog.testing.capture_logs() as logs:
        body = _asked("think of a SECRET", stream=stream)
        http.post(MESSAGES, json=body, headers={"x-request-id": request_id}).raise_for_status()
        wait_until(lambda: len(lines()) > 0)
    (line,) = lines()
    assert line["event"] == "request_finished"
    assert (line["path"], line["status"], line["stream"], line["finish_reason"]) == (MESSAGES, 200, stream, "stop")
    assert line["completion_id"].startswith("msg_")
    assert "SECRET" not in str(logs)
    assert "四" not in str(logs)


def test_a_key_is_taken_from_either_header_and_its_limits_hold(tmp_path_factory: pytest.TempPathFactory) -> None:
    with _serving(tmp_path_factory, keys=KEYS) as served:
        with _client(served, "wrong") as client, pytest.raises(anthropic.AuthenticationError) as refused:
            client.messages.create(**_asked("languages"))
        assert refused.value.type == "authentication_error"
        assert "x-api-key" in str(refused.value)
        with _client(served, "secret-of-ann") as client:
            for one in (client, client.copy(api_key="", default_headers={"authorization": "Bearer secret-of-ann"})):
                one.messages.create(**_asked("languages"))
                one.messages.count_tokens(model="agent", messages=[{"role": "user", "content": "not limited"}])
            with pytest.raises(anthropic.NotFoundError):
                client.messages.create(**_asked("languages", model="nobody"))
            with pytest.raises(anthropic.RateLimitError) as limited:
                client.messages.create(**_asked("languages"))
        assert limited.value.type == "rate_limit_error"
        assert int(limited.value.response.headers["retry-after"]) >= 1


# --- refusals ---

USER = {"role": "user", "content": "a"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "x"}}


def _nested(depth: int) -> dict[str, Any]:
    return {"a": _nested(depth - 1)} if depth > 1 else {}


def _said_by(role: str, *blocks: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": role, "content": list(blocks)}, USER]}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [USER, {"role": "assistant", "content": "I"}]}, "messages[1]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [USER | {"name": "a"}]}, "messages[0].name"),
        (_said_by("user"), "messages[1].content"),
        (_said_by("user", IMAGE), "messages[1].content[0].type"),
        (_said_by("user", {"type": "document", "source": {}}), "messages[1].content[0].type"),
        (_said_by("user", CALL), "messages[1].content[0].type"),
        (_said_by("user", {"type": "thinking", "thinking": "a", "signature": ""}), "messages[1].content[0].type"),
        (_said_by("user", RESULT), "messages[1].content[0].tool_use_id"),
        (_said_by("assistant", CALL, RESULT), "messages[1].content[1].type"),
        (_said_by("assistant", CALL | {"input": "{}"}), "messages[1].content[0].input"),
        (_said_by("assistant", {"type": "server_tool_use", "id": "a"}), "messages[1].content[0].type"),
        (_said_by("assistant", CALL | {"input": _nested(60)}), "messages[1].content[0].input"),
        (_said_by("system", RESULT), "messages[1].content[0].type"),
        ({"system": [IMAGE]}, "system[0].type"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 3001}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [WEATHER | {"defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [WEATHER, WEATHER]}, "get_weather"),
        ({"tools": [WEATHER | {"input_schema": {"type": "string"}}]}, "tools[0].input_schema"),
        ({"tools": [WEATHER | {"strict": True, "input_schema": {"type": "object", "not": {}}}]}, "tools"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "f"}}, "tool_choice"),
        ({"tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"output_config": {"effort": "none"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"not": {}}}}}, "output_config.format"),
        ({"output_format": {"type": "json_schema", "schema": {}}}, "output_format"),
        ({"context_management": {"edits": []}}, "context_management"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"container": "a"}, "container"),
        ({"speed": "fast"}, "speed"),
        ({"n": 2}, "n"),
        ({"response_format": {"type": "text"}}, "response_format"),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(http: httpx.Client, fields: dict[str, object], named: str) -> None:
    response = http.post(MESSAGES, json=_asked("a") | fields)
    told = ErrorResponse.model_validate(response.json())
    assert (response.status_code, told.error.type) == (400, "invalid_request_error")
    assert f"`{named}`" in told.error.message
    assert told.request_id == response.headers["request-id"]
    for chats in ("function.", "max_completion_tokens", "json_schema."):
        assert chats not in told.error.message


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", MESSAGES, b"{", 400, "invalid_request_error"),
        ("POST", MESSAGES, b'{"model": "nobody", "max_tokens": 1, "messages": [{}]}', 400, "invalid_request_error"),
        ("POST", MESSAGES, json.dumps(_asked("a", model="nobody")).encode(), 404, "not_found_error"),
        ("POST", COUNT_TOKENS, json.dumps(_asked("a")).encode(), 400, "invalid_request_error"),
        ("POST", f"{MESSAGES}/batches", b"{}", 404, "not_found_error"),
        ("GET", MESSAGES, b"", 405, "invalid_request_error"),
        ("POST", MESSAGES, b" " * (9 * 1024 * 1024), 413, "request_too_large"),
    ],
)
def test_every_error_of_these_routes_is_in_anthropics_form(
    http: httpx.Client, method: str, path: str, body: bytes, status: int, kind: str
) -> None:
    response = http.request(method, path, content=body)
    told = response.json()
    assert (response.status_code, told["type"], told["error"]["type"]) == (status, "error", kind)
    assert told["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize("fields", [{"max_tokens": 3000}, {"messages": [{"role": "user", "content": "x" * 3000}]}])
def test_what_is_too_long_for_the_model_is_told_its_length(client: anthropic.Anthropic, fields: Any) -> None:
    with pytest.raises(anthropic.BadRequestError, match="maximum context length is 3000 tokens"):
        client.messages.create(**_asked("a", **fields))


def test_a_counted_prompt_is_refused_by_the_same_names(http: httpx.Client) -> None:
    tool = WEATHER | {"input_schema": {"type": "string"}}
    body = {"model": "agent", "messages": [USER], "tools": [tool]}
    response = http.post(COUNT_TOKENS, json=body)
    assert response.status_code == 400
    assert "`tools[0].input_schema`" in response.json()["error"]["message"]


def test_the_other_routes_keep_their_own_form(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={})
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert "request-id" not in response.headers
