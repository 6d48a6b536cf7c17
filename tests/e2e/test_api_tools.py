"""Function calls and reasoning as the official client sees them, over a real server and a scripted engine.

The scripted model says what a model of the JSON family says; what constrains a call needs a real one and is tested in
test_api_demanded_calls.py.
"""

import json
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam

from gateway.settings import Settings
from tests.support.served import Served, serving

SCRIPT = """
default_text = "Nothing to call."

[[answers]]
match = "<tool_response>\\n22 degrees"
text = "It is 22 degrees."

[[answers]]
match = "both"
text = '''Let me look.
<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris"}}
</tool_call>
<tool_call>
{"name": "get_weather", "arguments": {"city": "日本"}}
</tool_call>'''

[[answers]]
match = "weather"
text = '''
<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris"}}
</tool_call>
'''

[[answers]]
match = "broken"
text = '<tool_call>{"name": "get_weather", "arguments": {"ci</tool_call>'

[[answers]]
match = "other"
text = '<tool_call>{"name": "format_disk", "arguments": {}}</tool_call>'

[[answers]]
match = "think"
text = '''<think>
Two and two, 四.
</think>

Four.'''

[[answers]]
match = "ponder"
text = "Two and two.</think>Four."
"""
WEATHER: ChatCompletionToolUnionParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Say the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    agent = tmp_path_factory.mktemp("models") / "agent"
    agent.mkdir()
    Path(agent / "scripted.toml").write_text(SCRIPT)
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [agent]) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


def _ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


# --- calls ---


def test_an_answer_that_is_a_call_has_no_content(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="agent", messages=_ask("weather"), tools=[WEATHER])
    (choice,) = completion.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_text_before_calls_is_kept_and_each_call_has_its_own_id(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="agent", messages=_ask("both"), tools=[WEATHER])
    (choice,) = completion.choices
    assert choice.message.content == "Let me look."
    calls = choice.message.tool_calls or ()
    cities = [json.loads(call.function.arguments)["city"] for call in calls if call.type == "function"]
    assert cities == ["Paris", "日本"]
    assert len({call.id for call in calls}) == 2


def test_each_call_is_one_delta_in_a_stream(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="agent", messages=_ask("both"), tools=[WEATHER], stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Let me look."
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [call.index for call in calls] == [0, 1]
    for call in calls:
        assert call.id
        assert call.type == "function"
        assert call.function is not None
        assert call.function.name == "get_weather"
        assert isinstance(json.loads(call.function.arguments or ""), dict)
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "tool_calls"]
    assert deltas[-1].tool_calls is None


def test_nothing_of_a_call_is_streamed_as_text(client: openai.OpenAI) -> None:
    chunks = client.chat.completions.create(model="agent", messages=_ask("weather"), tools=[WEATHER], stream=True)
    assert not any(chunk.choices[0].delta.content for chunk in chunks)


def test_without_parallel_calls_there_is_one(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model="agent", messages=_ask("both"), tools=[WEATHER], parallel_tool_calls=False
    )
    assert len(completion.choices[0].message.tool_calls or ()) == 1
    assert completion.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("question", ["broken", "other"])
def test_what_is_no_call_of_the_functions_is_text(client: openai.OpenAI, question: str) -> None:
    completion = client.chat.completions.create(model="agent", messages=_ask(question), tools=[WEATHER])
    (choice,) = completion.choices
    assert choice.finish_reason == "stop"
    assert choice.message.tool_calls is None
    assert (choice.message.content or "").startswith("<tool_call>")


def test_with_tool_choice_none_nothing_is_called(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model="agent", messages=_ask("weather"), tools=[WEATHER], tool_choice="none"
    )
    assert completion.choices[0].message.tool_calls is None
    assert completion.choices[0].finish_reason == "stop"


def test_only_the_allowed_tools_can_be_called(client: openai.OpenAI) -> None:
    other: ChatCompletionToolUnionParam = {"type": "function", "function": {"name": "noop"}}
    completion = client.chat.completions.create(
        model="agent",
        messages=_ask("weather"),
        tools=[WEATHER, other],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "noop"}}]},
        },
    )
    assert completion.choices[0].message.tool_calls is None


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_cut_ends_with_length_and_is_not_sent(served: Served, *, stream: bool) -> None:
    body = {"model": "agent", "messages": _ask("weather"), "tools": [WEATHER], "max_tokens": 30, "stream": stream}
    text = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=20).text
    assert '"finish_reason":"length"' in text
    assert "get_wea" not in text
    assert "tool_calls" not in text


def test_a_round_trip_with_the_clients_own_message(client: openai.OpenAI) -> None:
    messages: list[Any] = _ask("weather")  # the client takes its own messages back, its types do not
    message = client.chat.completions.create(model="agent", messages=messages, tools=[WEATHER]).choices[0].message
    (call,) = message.tool_calls or []
    messages += [
        message,
        {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"},
    ]
    completion = client.chat.completions.create(model="agent", messages=messages, tools=[WEATHER])
    assert completion.choices[0].message.content == "It is 22 degrees."


def test_a_round_trip_with_all_fields_of_the_clients_message(client: openai.OpenAI) -> None:
    messages: list[Any] = _ask("weather")  # the client takes its own messages back, its types do not
    message = client.chat.completions.create(model="agent", messages=messages, tools=[WEATHER]).choices[0].message
    (call,) = message.tool_calls or []
    messages += [
        message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"},
    ]
    completion = client.chat.completions.create(model="agent", messages=messages, tools=[WEATHER])
    assert completion.choices[0].message.content == "It is 22 degrees."


def test_a_round_trip_through_the_clients_stream_helper(client: openai.OpenAI) -> None:
    messages: list[Any] = _ask("both")
    with client.chat.completions.stream(model="agent", messages=messages, tools=[WEATHER]) as stream:
        events = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert events.count("tool_calls.function.arguments.done") == 2
    calls = message.tool_calls or ()
    answers: Iterable[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"} for call in calls
    ]
    messages += [message, *answers]
    completion = client.chat.completions.create(model="agent", messages=messages, tools=[WEATHER])
    assert completion.choices[0].message.content == "It is 22 degrees."


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"tools": [], "tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "noop"}}},
            "invalid_value",
            "tool_choice",
        ),
        ({"tools": [WEATHER, WEATHER]}, "invalid_value", "tools[1].function.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "invalid_value", None),
        ({"tools": [WEATHER], "functions": []}, "unknown_parameter", "functions"),
        # A scripted engine cannot be held to a grammar, and says so.
        ({"tools": [WEATHER], "tool_choice": "required"}, "invalid_value", "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, "invalid_value", "tools"),
    ],
)
def test_a_choice_that_cannot_be_kept_is_a_bad_request(
    client: openai.OpenAI, fields: dict[str, object], code: str, param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="agent", messages=_ask("weather"), extra_body=fields)
    assert caught.value.code == code
    assert param is None or caught.value.param == param


# --- reasoning ---


def test_reasoning_is_apart_from_the_content_and_counted(served: Served) -> None:
    body = {"model": "agent", "messages": _ask("think")}
    completion = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=20).json()
    message = completion["choices"][0]["message"]
    assert message["content"] == "Four."
    assert message["reasoning_content"] == "Two and two, 四."
    usage = completion["usage"]
    # A real model's tag is one token; the scripted one's is only known with its last byte.
    assert usage["completion_tokens_details"]["reasoning_tokens"] == len(">\nTwo and two, 四.\n</think>".encode())
    assert usage["completion_tokens"] > usage["completion_tokens_details"]["reasoning_tokens"]


def test_an_answer_without_reasoning_has_no_field_for_it(served: Served) -> None:
    body = {"model": "agent", "messages": _ask("Hello")}
    completion = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=20).json()
    assert "reasoning_content" not in completion["choices"][0]["message"]
    assert "tool_calls" not in completion["choices"][0]["message"]


@pytest.mark.parametrize(
    "fields",
    [{"reasoning_effort": "high"}, {"chat_template_kwargs": {"enable_thinking": True}}],
    ids=lambda f: next(iter(f)),
)
def test_a_prompt_that_opens_a_thought_makes_the_answer_begin_with_reasoning(
    served: Served, fields: dict[str, object]
) -> None:
    body = {"model": "agent", "messages": _ask("ponder"), **fields}
    message = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=20).json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Two and two.", "Four.")


@pytest.mark.parametrize("effort", [None, "none", "minimal"])
def test_without_thinking_the_answer_is_content_from_the_start(served: Served, effort: str | None) -> None:
    body = {"model": "agent", "messages": _ask("ponder"), "reasoning_effort": effort}
    message = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=20).json()["choices"][0]["message"]
    assert message["content"] == "Two and two.</think>Four."


def test_the_request_wins_over_the_effort(served: Served) -> None:
    body = {
        "model": "agent",
        "messages": _ask("ponder"),
        "reasoning_effort": "high",
        "chat_template_kwargs": {"enable_thinking": False},
    }
    message = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=20).json()["choices"][0]["message"]
    assert message["content"] == "Two and two.</think>Four."


@pytest.mark.parametrize("question", ["think", "cut"])
def test_reasoning_is_streamed_apart_and_the_finish_reason_is_not_on_it(served: Served, question: str) -> None:
    body: dict[str, object] = {"model": "agent", "messages": _ask("think"), "stream": True}
    if question == "cut":
        body["max_tokens"] = 20
    text = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=20).text
    events = [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n")[:-2]]
    choices = [event["choices"][0] for event in events]
    reasoning = "".join(choice["delta"].get("reasoning_content", "") for choice in choices)
    content = "".join(choice["delta"].get("content") or "" for choice in choices)
    assert (reasoning, content) == (("Two and two, 四.", "Four.") if question == "think" else ("Two and two,", ""))
    assert choices[-1]["delta"] == {}
    assert choices[-1]["finish_reason"] == ("stop" if question == "think" else "length")
    assert all(choice["finish_reason"] is None for choice in choices[:-1])


@pytest.mark.parametrize("name", ["tools", "tokenize", "chat_template", "add_generation_prompt"])
def test_template_arguments_that_are_the_gateways_own_are_refused(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="agent", messages=_ask("Hello"), extra_body={"chat_template_kwargs": {name: "x"}}
        )
    assert caught.value.param == f"chat_template_kwargs.{name}"
