"""What a grammar holds of a message; the model's weights are random, so what it says is its grammar's."""

from collections.abc import Generator
from typing import Any, Literal

import anthropic
import pydantic
import pytest
from anthropic.types import ParsedMessage, ToolUseBlock

from gateway.settings import Settings
from tests.support.served import Served, serving
from tests.support.tiny_llama import write_model

MODEL = "random"


class Hoist(pydantic.BaseModel, extra="forbid"):
    sail: Literal["jib", "main"]
    reefs: Literal[0, 1, 2]


TOOLS: list[Any] = [
    {"name": "hoist", "input_schema": Hoist.model_json_schema()},
    {"name": "furl", "input_schema": {"type": "object", "additionalProperties": False}},
]
ASKED: dict[str, Any] = {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": "Sail!"}]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    model = tmp_path_factory.mktemp("models") / MODEL
    model.mkdir()
    write_model(model)
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [model]) as served:
        yield served


@pytest.fixture(scope="module")
def client(served: Served) -> Generator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served.url, api_key="unused", max_retries=0, timeout=60) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
def test_parse_gives_the_clients_own_type_and_is_sent_back(client: anthropic.Anthropic, *, stream: bool) -> None:
    message: ParsedMessage[Hoist]
    if stream:
        with client.messages.stream(**ASKED, output_format=Hoist) as events:
            message = events.get_final_message()
    else:
        message = client.messages.parse(**ASKED, output_format=Hoist)
    assert isinstance(message.parsed_output, Hoist)
    turns: list[Any] = [*ASKED["messages"], {"role": "assistant", "content": message.content}, *ASKED["messages"]]
    client.messages.create(model=MODEL, max_tokens=1, messages=turns)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "hoist"}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_demanded_call_fits_its_tool(client: anthropic.Anthropic, choice: Any, *, stream: bool) -> None:
    asked: dict[str, Any] = {**ASKED, "tools": TOOLS, "tool_choice": choice}
    if stream:
        with client.messages.stream(**asked) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**asked)
    assert message.stop_reason == "tool_use"
    (call,) = message.content
    assert isinstance(call, ToolUseBlock)
    assert call.name in {"hoist", "furl"} if choice["type"] == "any" else call.name == "hoist"
    if call.name == "hoist":
        Hoist.model_validate(call.input)
    else:
        assert call.input == {}


def test_a_schema_that_cannot_be_held_to_is_refused_by_its_field_here(client: anthropic.Anthropic) -> None:
    config: Any = {"format": {"type": "json_schema", "schema": {"not": {}}}}
    with pytest.raises(anthropic.BadRequestError, match=r"`output_config\.format`"):
        client.messages.create(**ASKED, output_config=config)
    strict: Any = {"name": "f", "strict": True, "input_schema": {"type": "object", "not": {}}}
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(**ASKED, tools=[strict])
