"""`/v1/responses` as the official client speaks it, over a real server and a scripted engine."""

import json
from collections.abc import Generator, MutableMapping
from typing import Any, Literal

import httpx
import openai
import pydantic
import pytest
import structlog
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseFunctionToolCall,
    ResponseInputParam,
    ResponseReasoningItem,
    ResponseStreamEvent,
)

from gateway.contracts.keys import KeyRole
from gateway.keys import KeyRing, load_keys
from gateway.settings import KeySettings, ResponseSettings, Settings
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
match = "both"
text = '''<think>
Where?
</think>

Let me look.
<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris"}}
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

[[faults]]
match = "LATE"
kind = "raise"
at_token = 3

[[faults]]
match = "AT ONCE"
kind = "raise"
at_token = 1
""".replace("SLOWLY", "x" * 2000)
RESPONSES = "/v1/responses"
LOGPROBS = "message.output_text.logprobs"
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "Say the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
EVENTS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
KEYS = load_keys(
    [
        KeySettings(name=name, role=role, secret_env=name)
        for name, role in (("ann", KeyRole.CHAT), ("bob", KeyRole.ADMIN))
    ],
    environ={name: f"secret-of-{name}" for name in ("ann", "bob")},
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with _serving(tmp_path_factory) as served:
        yield served


def _serving(factory: pytest.TempPathFactory, *, keys: KeyRing | None = None, kept_count: int = 1000) -> Any:
    agent = write_scripted_model(factory.mktemp("models") / "agent", SCRIPT)
    settings = Settings(
        state_dir=str(factory.mktemp("state")), responses=ResponseSettings(max_count=kept_count, max_bytes=10**6)
    )
    return serving(settings, [agent], keys=keys)


@pytest.fixture
def client(served: Served) -> Generator[openai.OpenAI]:
    with _client(served) as client:
        yield client


def _client(served: Served, key: str = "unused") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0, timeout=20)


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


# --- whole ---


def test_a_text_is_answered_by_one_message(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="languages", metadata={"a": "b"}, user="me")
    assert response.output_text == "Grüße, 日本語, 🙂!"
    assert (response.status, response.error, response.incomplete_details) == ("completed", None, None)
    assert [item.type for item in response.output] == ["message"]
    assert (response.metadata, response.user, response.tool_choice) == ({"a": "b"}, "me", "auto")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (11, len(response.output_text.encode()) + 1)
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_reasoning_is_an_item_before_the_message(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="think", reasoning={"summary": "auto"})
    reasoning, message = response.output
    assert isinstance(reasoning, ResponseReasoningItem)
    assert [part.text.strip() for part in reasoning.content or []] == ["Two and two, 四."]
    assert message.type == "message"
    assert response.output_text == "Four."
    assert response.usage is not None
    assert 0 < response.usage.output_tokens_details.reasoning_tokens < response.usage.output_tokens


def test_the_effort_reaches_the_chat_template(client: openai.OpenAI) -> None:
    # With it the scripted model's template opens the think tag.
    response = client.responses.create(model="agent", input="ponder", reasoning={"effort": "high"})
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output_text == "Four."


def test_each_call_is_an_item_after_the_message(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="both", tools=[WEATHER])
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Paris"}, {"city": "日本"}]
    assert len({call.call_id for call in calls}) == 2
    assert response.output_text == "Let me look."


def test_without_parallel_calls_the_first_is_the_last(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="both", tools=[WEATHER], parallel_tool_calls=False)
    assert [item.type for item in response.output].count("function_call") == 1
    assert response.parallel_tool_calls is False


def test_an_answer_that_is_cut_off_is_incomplete(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="languages", max_output_tokens=4)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    (message,) = response.output
    assert message.type == "message"
    assert message.status == "incomplete"
    assert response.output_text == "Grü"


def test_an_empty_answer_is_an_empty_message(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="silent")
    assert (response.output_text, [item.type for item in response.output]) == ("", ["message"])


def test_log_probabilities_spell_the_answer(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="languages", include=[LOGPROBS], top_logprobs=2)
    (message,) = response.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert bytes(byte for entry in part.logprobs or [] for byte in entry.bytes).decode() == part.text
    assert {len(entry.top_logprobs) for entry in part.logprobs or []} == {2}
    assert response.top_logprobs == 2


# --- streams ---

ASKED: dict[str, dict[str, Any]] = {
    "text": {"input": "languages"},
    "reasoning": {"input": "think"},
    "calls": {"input": "both", "tools": [WEATHER], "tool_choice": "auto"},
    "call": {"input": "weather", "tools": [WEATHER], "instructions": "Be brief."},
    "cut": {"input": "languages", "max_output_tokens": 5},
    "cut_reasoning": {"input": "think", "max_output_tokens": 12},
    "silent": {"input": "silent"},
    "logprobs": {"input": "languages", "include": [LOGPROBS], "top_logprobs": 1},
}


def _asked(http: httpx.Client, **asked: Any) -> httpx.Response:
    """Return the answer that no earlier one has left anything for."""
    headers = {"x-gateway-prefix-cache": "off"}
    return http.post(RESPONSES, json={"model": "agent", **asked}, headers=headers).raise_for_status()


def _events(http: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    """Return the events of a stream, of which each is what the official client's types say, and numbered."""
    response = _asked(http, stream=True, **asked)
    assert response.headers["content-type"].startswith("text/event-stream")
    events: list[dict[str, Any]] = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        EVENTS.validate_python(event)
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def _without_ids(response: dict[str, Any]) -> str:
    """Return it as JSON without what two answers never share."""
    calls = [item["call_id"] for item in response["output"] if item["type"] == "function_call"]
    text = json.dumps(response | {"created_at": 0}, sort_keys=True)
    for unlike in (response["id"].removeprefix("resp_"), *calls):
        text = text.replace(unlike, "ID")
    return text


@pytest.mark.parametrize("name", ASKED)
def test_a_stream_ends_in_what_is_answered_whole(http: httpx.Client, name: str) -> None:
    whole = _asked(http, **ASKED[name]).json()
    Response.model_validate(whole, strict=True)
    events = _events(http, **ASKED[name])
    first, second, *between, last = events
    assert (first["type"], second["type"]) == ("response.created", "response.in_progress")
    assert first["response"]["status"] == "in_progress"
    assert last["type"] == f"response.{whole['status']}"
    assert _without_ids(last["response"]) == _without_ids(whole)
    assert {event["response"]["id"] for event in (first, second, last)} == {last["response"]["id"]}
    told = [event["item"] for event in between if event["type"] == "response.output_item.done"]
    assert told == last["response"]["output"]


@pytest.mark.parametrize("name", ASKED)
def test_each_item_of_a_stream_is_told_from_its_beginning_to_its_end(http: httpx.Client, name: str) -> None:
    events = _events(http, **ASKED[name])[2:-1]
    for index in range(max(event["output_index"] for event in events) + 1):
        own = [event for event in events if event["output_index"] == index]
        assert own == events[events.index(own[0]) :][: len(own)]  # nothing of another's between
        added, *_, done = own
        kinds = list(dict.fromkeys(event["type"].removeprefix("response.") for event in own))
        assert len({event.get("item_id", event.get("item", {}).get("id")) for event in own}) == 1
        deltas = "".join(event["delta"] for event in own if event["type"].endswith(".delta"))
        item = done["item"]
        if item["type"] == "function_call":
            arguments = "function_call_arguments"
            assert kinds == ["output_item.added", f"{arguments}.delta", f"{arguments}.done", "output_item.done"]
            assert (added["item"]["arguments"], deltas) == ("", item["arguments"])
            continue
        part = "output_text" if item["type"] == "message" else "reasoning_text"
        expected = ["output_item.added", "content_part.added", f"{part}.delta", f"{part}.done", "content_part.done"]
        assert kinds == [*(kind for kind in expected if deltas or not kind.endswith(".delta")), "output_item.done"]
        assert added["item"]["content"] == []
        assert [deltas] == [content["text"] for content in item["content"]]


def test_the_clients_stream_helper_puts_the_pieces_together(client: openai.OpenAI) -> None:
    with client.responses.stream(model="agent", input="both", tools=[WEATHER]) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "Let me look."
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]


def test_a_failure_after_the_first_event_is_one_last_event(http: httpx.Client) -> None:
    events = _events(http, input="LATE")
    last = events[-1]
    assert [event["type"] for event in events].count("response.failed") == 1
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert (last["response"]["error"]["code"], last["response"]["error"]["type"]) == ("server_error", "engine_fault")
    assert [item["content"][0]["text"] for item in last["response"]["output"]] == ["No"]
    assert http.get(f"{RESPONSES}/{last['response']['id']}").status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_event_has_its_own_status(client: openai.OpenAI, *, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        client.responses.create(model="agent", input="AT ONCE", stream=stream)
    assert failed.value.code == "engine_fault"


# --- conversations ---


def test_what_was_answered_is_sent_back_with_what_its_call_gave(client: openai.OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "both"}]
    first = client.responses.create(model="agent", input=asked, tools=[WEATHER], store=False)
    asked += first.output  # as OpenAI's guide does it
    asked += [
        {"type": "function_call_output", "call_id": item.call_id, "output": "22 degrees"}
        for item in first.output
        if item.type == "function_call"
    ]
    second = client.responses.create(model="agent", input=asked, tools=[WEATHER], store=False)
    assert second.output_text == "It is 22 degrees."


def test_a_response_continues_another_as_if_all_had_been_sent(client: openai.OpenAI) -> None:
    first = client.responses.create(model="agent", input="weather", tools=[WEATHER], instructions="Left behind.")
    (call,) = first.output
    assert call.type == "function_call"
    gave: Any = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": [{"type": "input_text", "text": "22 degrees"}],
    }
    second = client.responses.create(model="agent", input=[gave], tools=[WEATHER], previous_response_id=first.id)
    assert second.output_text == "It is 22 degrees."
    assert second.previous_response_id == first.id
    third = client.responses.create(model="agent", input="think", previous_response_id=second.id)
    all_sent: list[Any] = [
        {"role": "user", "content": "weather"},
        call.to_dict(),
        gave,
        {"role": "assistant", "content": "It is 22 degrees."},
        {"role": "user", "content": "think"},
    ]
    alone = client.responses.create(model="agent", input=all_sent)
    assert third.usage is not None
    assert alone.usage is not None
    assert third.usage.input_tokens == alone.usage.input_tokens > 30
    listed = list(client.responses.input_items.list(third.id, order="asc"))
    assert [item.type for item in listed] == ["message", "function_call", "function_call_output", "message", "message"]


def test_a_reference_stands_for_an_item_of_a_kept_response(client: openai.OpenAI) -> None:
    first = client.responses.create(model="agent", input="weather", tools=[WEATHER])
    (call,) = first.output
    assert call.type == "function_call"
    assert call.id is not None
    second = client.responses.create(
        model="agent",
        input=[
            {"role": "user", "content": "weather"},
            {"type": "item_reference", "id": call.id},
            {"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"},
        ],
    )
    assert second.output_text == "It is 22 degrees."


def test_a_kept_response_is_read_as_it_was_answered_until_it_is_deleted(client: openai.OpenAI) -> None:
    response = client.responses.create(model="agent", input="both", tools=[WEATHER])
    assert client.responses.retrieve(response.id).to_dict() == response.to_dict()
    client.responses.delete(response.id)
    for read in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            read(response.id)


def test_a_streamed_response_is_kept_too(client: openai.OpenAI) -> None:
    with client.responses.stream(model="agent", input="think") as stream:
        final = stream.get_final_response()
    assert client.responses.retrieve(final.id).output_text == "Four."


def test_input_items_come_in_pages_of_either_order(client: openai.OpenAI) -> None:
    texts = [f"text {number}" for number in range(5)]
    asked: ResponseInputParam = [{"role": "user", "content": text} for text in texts]
    response = client.responses.create(model="agent", input=asked)
    page = client.responses.input_items.list(response.id, limit=2)
    assert (len(page.data), page.has_more) == (2, True)
    orders: tuple[tuple[Literal["asc", "desc"], list[str]], ...] = (("desc", texts[::-1]), ("asc", texts))
    for order, expected in orders:
        items = list(client.responses.input_items.list(response.id, limit=2, order=order))
        assert [item.to_dict()["content"] for item in items] == [
            [{"type": "input_text", "text": it}] for it in expected
        ]


def test_what_is_not_to_be_stored_is_not_kept(client: openai.OpenAI, http: httpx.Client) -> None:
    response = client.responses.create(model="agent", input="think", store=False)
    assert response.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="agent", input="think", previous_response_id=response.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    assert http.post(RESPONSES, json={"model": "agent", "input": "think"}).json()["store"] is True


def test_a_gateway_that_keeps_nothing_says_so_by_its_setting(tmp_path_factory: pytest.TempPathFactory) -> None:
    with _serving(tmp_path_factory, kept_count=0) as served, _client(served) as client:
        response = client.responses.create(model="agent", input="think", store=True)
        assert response.output_text == "Four."
        assert response.to_dict()["store"] is False
        with pytest.raises(openai.BadRequestError, match=r"responses\.max_count") as refused:
            client.responses.create(model="agent", input="think", previous_response_id=response.id)
        assert refused.value.param == "previous_response_id"
        with pytest.raises(openai.BadRequestError, match=r"responses\.max_count") as refused:
            client.responses.create(model="agent", input=[{"type": "item_reference", "id": "msg_1"}])
        assert refused.value.param == "input[0].id"
        with pytest.raises(openai.NotFoundError, match=r"responses\.max_count"):
            client.responses.retrieve(response.id)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with _serving(tmp_path_factory, keys=KEYS) as served:
        yield served


def test_a_key_keeps_its_responses_when_its_secret_is_rotated(keyed: Served) -> None:
    with httpx.Client(base_url=keyed.url, headers={"authorization": "Bearer secret-of-bob"}, timeout=20) as admin:
        issued = admin.post("/admin/keys", json={"name": "eve", "role": "chat"}).raise_for_status().json()
        with _client(keyed, issued["secret"]) as eve:
            response = eve.responses.create(model="agent", input="think")
        rotated = admin.post("/admin/keys/eve/rotation", json={}).raise_for_status().json()
    with _client(keyed, rotated["secret"]) as eve:
        assert eve.responses.retrieve(response.id).output_text == "Four."


def test_no_key_sees_anothers_responses(keyed: Served) -> None:
    with (
        _client(keyed, "secret-of-ann") as ann,
        _client(keyed, "secret-of-bob") as bob,
    ):
        response = ann.responses.create(model="agent", input="think")
        for read in (bob.responses.retrieve, bob.responses.delete, bob.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                read(response.id)
        with pytest.raises(openai.BadRequestError):
            bob.responses.create(model="agent", input="think", previous_response_id=response.id)
        with pytest.raises(openai.BadRequestError):
            bob.responses.create(model="agent", input=[{"type": "item_reference", "id": response.output[0].id or ""}])
        assert ann.responses.retrieve(response.id).output_text == "Four."


# --- who answers, and what remains ---


def test_who_answered_stands_in_header_and_response_and_may_be_pinned(http: httpx.Client, served: Served) -> None:
    reference = served.references["agent"]
    body = {"model": "agent", "input": "think"}
    response = http.post(RESPONSES, json=body, headers={"x-gateway-variant": reference, "x-request-id": "mine"})
    assert response.headers["x-gateway-variant"] == reference
    assert response.headers["x-request-id"] == "mine"
    assert reference.endswith(response.json()["system_fingerprint"])
    unknown = http.post(RESPONSES, json=body, headers={"x-gateway-variant": "nobody@01234567"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "variant_not_found")


def test_a_client_that_leaves_its_stream_frees_its_row(http: httpx.Client, served: Served) -> None:
    def held() -> int:
        return held_rows(http, served.references["agent"])

    body = {"model": "agent", "input": "slowly", "stream": True}
    with httpx.stream("POST", served.url + RESPONSES, json=body, timeout=20) as answer:
        lines = answer.iter_lines()  # kept, for httpx closes the stream with its iterator
        created = next(line for line in lines if line.startswith("data: "))
        assert held() == 1
    wait_until(lambda: held() == 0)
    response_id = json.loads(created.removeprefix("data: "))["response"]["id"]
    assert http.get(f"{RESPONSES}/{response_id}").status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_one_line_remains_without_what_was_said(http: httpx.Client, *, stream: bool) -> None:
    request_id = f"logged-{stream}"

    def lines() -> list[MutableMapping[str, Any]]:
        return [log for log in logs if log.get("request_id") == request_id]

    with structlog.testing.capture_logs() as logs:
        body = {"model": "agent", "input": "think of a SECRET", "stream": stream}
        http.post(RESPONSES, json=body, headers={"x-request-id": request_id}).raise_for_status()
        wait_until(lambda: len(lines()) > 0)
    (line,) = lines()
    assert line["event"] == "request_finished"
    assert (line["path"], line["status"], line["stream"], line["finish_reason"]) == (RESPONSES, 200, stream, "stop")
    assert line["completion_id"].startswith("resp_")
    assert "SECRET" not in str(logs)
    assert "四" not in str(logs)
