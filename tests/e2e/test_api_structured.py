"""Structured output as the official client asks for it, of a real model that is far too small to do it by itself."""

from collections.abc import Generator, Iterator
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from gateway.settings import Settings
from tests.support.models import embedded_model
from tests.support.served import Served, serving

pytestmark = pytest.mark.model


class Ship(BaseModel):
    kind: Literal["brig", "sloop"]
    guns: Literal[12, 24] | None
    sound: bool


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(state_dir=str(tmp_path_factory.mktemp("state")))
    with serving(settings, [embedded_model()]) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=110) as client:
        yield client


@pytest.fixture
def model(served: Served) -> str:
    (name,) = served.references
    return name


ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Describe a ship."}]


def test_parse_gives_the_clients_own_type_at_any_temperature(client: openai.OpenAI, model: str) -> None:
    completion = client.chat.completions.parse(
        model=model,
        messages=ASK,
        response_format=Ship,
        n=2,
        temperature=1.5,
        seed=1,
        logprobs=True,
        top_logprobs=2,
        presence_penalty=1.0,
        max_completion_tokens=150,
        extra_body={"top_k": 500, "min_p": 0.001},
    )
    for choice in completion.choices:
        assert choice.finish_reason == "stop"
        assert isinstance(choice.message.parsed, Ship)
        assert choice.logprobs is not None
        entries = choice.logprobs.content or []
        assert bytes(byte for entry in entries for byte in entry.bytes or ()).decode() == choice.message.content


def test_the_stream_helper_parses_what_comes(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(
        model=model, messages=ASK, response_format=Ship, temperature=0, max_completion_tokens=100
    ) as stream:
        completion = stream.get_final_completion()
    assert isinstance(completion.choices[0].message.parsed, Ship)


def test_a_cut_document_is_an_error_to_parse(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=model, messages=ASK, response_format=Ship, max_completion_tokens=4)


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "strin"}, "strin"),
        ({"$ref": "#/nowhere"}, "nowhere"),
    ],
)
def test_a_schema_that_cannot_be_held_to_is_a_400_before_any_token(
    client: openai.OpenAI, model: str, schema: dict[str, Any], named: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=model,
            messages=ASK,
            stream=True,
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        )
    assert refused.value.param == "response_format"
    assert named in refused.value.message


def test_the_likeliest_tokens_spell_a_greedy_answer(client: openai.OpenAI, model: str) -> None:
    completion = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_completion_tokens=8,
        temperature=0,
        logprobs=True,
        top_logprobs=1,
    )
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    likeliest = [entry.top_logprobs[0].token for entry in logprobs.content or []]
    assert "".join(likeliest) == completion.choices[0].message.content
