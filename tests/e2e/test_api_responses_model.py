"""What a grammar holds of a response; the model's weights are random, so what it says is its grammar's."""

import json
from collections.abc import Generator
from typing import Any, Literal

import openai
import pydantic
import pytest
from openai.types.responses import ParsedResponse, ResponseFunctionToolCall

from gateway.settings import Settings
from tests.support.served import Served, serving
from tests.support.tiny_llama import write_model

MODEL = "random"


class Hoist(pydantic.BaseModel):
    sail: Literal["jib", "main"]
    reefs: Literal[0, 1, 2]


HOIST: Any = openai.pydantic_function_tool(Hoist, name="hoist")["function"]
TOOLS: list[Any] = [{"type": "function", **HOIST}, {"type": "function", "name": "furl", "parameters": None}]


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


@pytest.mark.parametrize("stream", [False, True])
def test_parse_gives_the_clients_own_type(client: openai.OpenAI, *, stream: bool) -> None:
    asked: dict[str, Any] = {"model": MODEL, "input": "Sail!", "text_format": Hoist, "temperature": 1.5}
    response: ParsedResponse[Hoist]
    if stream:
        with client.responses.stream(**asked) as events:
            response = events.get_final_response()
    else:
        response = client.responses.parse(**asked)
    assert isinstance(response.output_parsed, Hoist)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "hoist"}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_demanded_call_fits_its_function(client: openai.OpenAI, choice: Any, *, stream: bool) -> None:
    asked: dict[str, Any] = {"model": MODEL, "input": "Sail!", "tools": TOOLS, "tool_choice": choice}
    if stream:
        with client.responses.stream(**asked) as events:
            response = events.get_final_response()
    else:
        response = client.responses.create(**asked)
    (call,) = response.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert call.name in {"hoist", "furl"} if choice == "required" else call.name == "hoist"
    if call.name == "hoist":
        Hoist.model_validate_json(call.arguments)
    else:
        assert json.loads(call.arguments) == {}


def test_a_schema_that_cannot_be_held_to_is_refused_by_its_field_here(client: openai.OpenAI) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "a", "schema": {"not": {}}}}
    with pytest.raises(openai.BadRequestError, match=r"`text\.format`") as refused:
        client.responses.create(model=MODEL, input="Sail!", text=form)
    assert refused.value.param == "text.format"
    strict: Any = {"type": "function", "name": "f", "strict": True, "parameters": {"type": "object", "not": {}}}
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="Sail!", tools=[strict])
    assert refused.value.param == "tools"
