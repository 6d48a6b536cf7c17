"""The official `anthropic` package for Python, over /v1/messages."""

from typing import Any, Literal

import anthropic
import checks
import pydantic


class Place(pydantic.BaseModel, extra="forbid"):
    """Say where it is; of more fields a model without sense would write until its tokens are over."""

    country: Literal["France", "Spain"]
    large: bool


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"name": "get_weather", "description": "Say the weather.", "input_schema": SCHEMA}]

client = anthropic.Anthropic(base_url=checks.GATEWAY, api_key="unused", max_retries=0, timeout=60)


def _asked(text: str, model: str = checks.SCRIPTED) -> Any:
    return {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": text}]}


def plain() -> None:
    message = client.messages.create(**_asked(checks.PLAIN))
    checks.same([block.text for block in message.content], [checks.PLAIN_ANSWER])
    checks.same(message.stop_reason, "end_turn")


def streamed() -> None:
    with client.messages.stream(**_asked(checks.STREAMED)) as stream:
        checks.same("".join(stream.text_stream), checks.STREAMED_ANSWER)
        checks.same(stream.get_final_message().usage.output_tokens, len(checks.STREAMED_ANSWER) + 1)


def tools() -> None:
    asked = _asked(checks.WEATHER)
    with client.messages.stream(**asked, tools=TOOLS) as stream:
        message = stream.get_final_message()
    checks.same(message.stop_reason, "tool_use")
    (call,) = (block for block in message.content if block.type == "tool_use")
    checks.same(call.input, {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": checks.WEATHER_RESULT}
    asked["messages"] += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    again = client.messages.create(**asked, tools=TOOLS)
    checks.same([block.text for block in again.content], [checks.WEATHER_ANSWER])

    place: Any = {"name": "place", "input_schema": Place.model_json_schema()}
    demanded = client.messages.create(
        **_asked(checks.PLACE, checks.CONSTRAINED), tools=[place], tool_choice={"type": "tool", "name": "place"}
    )
    (call,) = (block for block in demanded.content if block.type == "tool_use")
    Place.model_validate(call.input)


def structured() -> None:
    message = client.messages.parse(**_asked(checks.PLACE, checks.CONSTRAINED), output_format=Place)
    assert isinstance(message.parsed_output, Place)


def error() -> None:
    checks.raised(
        anthropic.NotFoundError,
        lambda: client.messages.create(**_asked(checks.PLAIN, checks.NOBODY)),
        said=f"`{checks.NOBODY}`",
    )


def broken() -> None:
    text: list[str] = []

    def read() -> None:
        with client.messages.stream(**_asked(checks.BROKEN)) as stream:
            text.extend(stream.text_stream)

    checks.raised(anthropic.APIError, read, said="engine")
    checks.same("".join(text), checks.BROKEN_BEGINNING)


def cancelled() -> None:
    before = checks.departures()
    with client.messages.stream(**_asked(checks.SLOW)) as stream:
        next(iter(stream.text_stream))
    checks.seen_to_leave(before)


checks.run(
    plain=plain,
    streamed=streamed,
    tools=tools,
    structured=structured,
    error=error,
    broken=broken,
    cancelled=cancelled,
)
