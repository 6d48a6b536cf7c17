"""What a grammar holds comes out of any model: this one's weights are random, so what it says is its grammar's."""

import json
from collections.abc import Generator
from typing import Any, Literal

import jsonschema
import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam

from gateway.settings import Settings
from tests.support.schemas import random_schema
from tests.support.served import Served, serving
from tests.support.tiny_llama import write_model

MODEL = "random"
ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hoist the sails!"}]


class Hoist(pydantic.BaseModel):
    sail: Literal["jib", "main"]
    reefs: Literal[0, 1, 2]


HOIST = openai.pydantic_function_tool(Hoist, name="hoist")
FURL: ChatCompletionToolUnionParam = {"type": "function", "function": {"name": "furl"}}
STEER: ChatCompletionToolUnionParam = {
    "type": "function",
    "function": {
        "name": "steer",
        "parameters": {
            "type": "object",
            "properties": {"course": {"$ref": "#/$defs/course"}},
            "required": ["course"],
            "$defs": {"course": {"enum": ["north", "süd"]}},
        },
    },
}
TOOLS: list[ChatCompletionToolUnionParam] = [HOIST, FURL, STEER]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    model = tmp_path_factory.mktemp("models") / MODEL
    model.mkdir()
    write_model(model)
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [model]) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        yield client


def _schemas() -> dict[str, Any]:
    return {
        tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in TOOLS if tool["type"] == "function"
    }


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_required_call_is_one_of_the_functions_with_arguments_that_validate(
    client: openai.OpenAI, temperature: float
) -> None:
    for seed in range(4):
        completion = client.chat.completions.create(
            model=MODEL, messages=ASK, tools=TOOLS, tool_choice="required", temperature=temperature, seed=seed
        )
        (choice,) = completion.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        (call,) = choice.message.tool_calls or []
        assert call.type == "function"
        jsonschema.validate(json.loads(call.function.arguments), _schemas()[call.function.name])


@pytest.mark.parametrize("name", ["hoist", "furl", "steer"])
def test_a_named_function_is_the_one_that_is_called(client: openai.OpenAI, name: str) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=TOOLS, tool_choice={"type": "function", "function": {"name": name}}
    )
    (call,) = completion.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == name
    arguments = json.loads(call.function.arguments)
    jsonschema.validate(arguments, _schemas()[name])
    # What a schema does not name is not invented.
    assert set(arguments) <= set(_schemas()[name].get("properties", {}))


def test_a_stream_has_the_call_in_one_delta(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=ASK, tools=TOOLS, tool_choice="required", stream=True, n=2)
    )
    for index in (0, 1):
        choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        (call,) = [call for choice in choices for call in choice.delta.tool_calls or []]
        assert call.index == 0
        assert call.function is not None
        assert isinstance(json.loads(call.function.arguments or ""), dict)
        assert not any(choice.delta.content for choice in choices)
        assert choices[-1].finish_reason == "tool_calls"


def test_parse_gives_the_clients_own_type(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(
        model=MODEL, messages=ASK, tools=[HOIST], tool_choice="required", top_p=0.9
    )
    (call,) = completion.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Hoist)


def test_a_demanded_call_that_is_cut_is_none(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=TOOLS, tool_choice="required", max_tokens=5
    )
    (choice,) = completion.choices
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls is None
    assert choice.message.content == ""


def test_a_call_of_a_random_schema_validates_where_it_is_not_cut(client: openai.OpenAI) -> None:
    called = 0
    for seed in range(6):
        schema = random_schema(seed)
        tool: ChatCompletionToolUnionParam = {"type": "function", "function": {"name": "f", "parameters": schema}}
        completion = client.chat.completions.create(
            model=MODEL, messages=ASK, tools=[tool], tool_choice="required", max_tokens=120, temperature=1.0, seed=seed
        )
        (choice,) = completion.choices
        assert (choice.finish_reason == "tool_calls") is bool(choice.message.tool_calls)
        for call in choice.message.tool_calls or []:
            assert call.type == "function"
            jsonschema.validate(json.loads(call.function.arguments), schema)
            called += 1
    assert called, "every call was cut: the test says nothing"


def test_a_schema_that_cannot_be_held_to_is_a_400_before_any_token(client: openai.OpenAI) -> None:
    parameters: dict[str, object] = {
        "type": "object",
        "properties": {"a": {"type": "array", "uniqueItems": True}},
        "required": ["a"],
    }
    tool: ChatCompletionToolUnionParam = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=ASK, tools=[tool], tool_choice="required")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "tools")
    assert "uniqueItems" in caught.value.message


# --- calls that may be made ---


class Course(pydantic.BaseModel):
    heading: Literal["north", "south"]


def test_an_answer_that_may_be_calls_or_a_document_is_one_of_them(client: openai.OpenAI) -> None:
    kinds: set[str] = set()
    for seed in range(12):
        completion = client.chat.completions.parse(
            model=MODEL,
            messages=ASK,
            tools=[HOIST],
            response_format=Course,
            parallel_tool_calls=False,
            temperature=2.0,
            seed=seed,
        )
        (choice,) = completion.choices
        if choice.finish_reason == "tool_calls":
            (call,) = choice.message.tool_calls or []
            assert isinstance(call.function.parsed_arguments, Hoist)
            assert choice.message.content is None
        else:
            assert choice.finish_reason == "stop"
            assert isinstance(choice.message.parsed, Course)
        kinds.add(choice.finish_reason)
    assert kinds == {"tool_calls", "stop"}


def test_strict_functions_leave_the_text_free(client: openai.OpenAI) -> None:
    def ask(tool: ChatCompletionToolUnionParam) -> str | None:
        completion = client.chat.completions.create(
            model=MODEL, messages=ASK, tools=[tool], temperature=0, max_tokens=30
        )
        assert completion.choices[0].finish_reason == "length"
        return completion.choices[0].message.content

    loose: Any = {**HOIST, "function": {**HOIST["function"], "strict": False}}
    assert ask(HOIST) == ask(loose)


@pytest.mark.parametrize(
    ("stop", "text", "reason"), [("never", '["north"]', "stop"), ("th", '["nor', "length"), ("]", '["north"', "length")]
)
def test_a_stop_string_cuts_a_document_as_a_limit_does(
    client: openai.OpenAI, stop: str, text: str, reason: str
) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "course", "schema": {"const": ["north"]}}}
    completion = client.chat.completions.create(model=MODEL, messages=ASK, response_format=form, stop=stop)
    (choice,) = completion.choices
    assert ("".join((choice.message.content or "").split()), choice.finish_reason) == (text, reason)


def test_a_refusal_names_the_field_whose_schema_cannot_be_held_to(client: openai.OpenAI) -> None:
    unheld: dict[str, object] = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    strict: ChatCompletionToolUnionParam = {
        "type": "function",
        "function": {"name": "f", "parameters": unheld, "strict": True},
    }
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": unheld}}
    for fields, param in (
        ({"tools": [strict]}, "tools"),
        ({"tools": [strict], "response_format": {"type": "json_object"}}, "tools"),
        ({"tools": [HOIST], "response_format": form}, "response_format"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=MODEL, messages=ASK, extra_body=fields)
        assert caught.value.param == param
        assert "uniqueItems" in caught.value.message
