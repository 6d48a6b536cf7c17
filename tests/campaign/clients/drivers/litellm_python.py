"""LiteLLM's SDK, its provider `openai`."""

import os
from typing import Any, Literal

import checks

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # It is fetched at import otherwise.

import litellm
import pydantic


class Place(pydantic.BaseModel):
    country: Literal["France", "Spain"]
    large: bool


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]

litellm.suppress_debug_info = True


def _ask(text: str | list[Any], model: str = checks.SCRIPTED, **more: Any) -> Any:
    messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
    return litellm.completion(
        model=f"openai/{model}",
        api_base=f"{checks.GATEWAY}/v1",
        api_key="unused",
        messages=messages,
        num_retries=0,
        max_retries=0,
        timeout=60,
        **more,
    )


def plain() -> None:
    checks.same(_ask(checks.PLAIN).choices[0].message.content, checks.PLAIN_ANSWER)


def streamed() -> None:
    chunks = list(_ask(checks.STREAMED, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    checks.same(text, checks.STREAMED_ANSWER)
    checks.same(chunks[-1].usage.completion_tokens, len(checks.STREAMED_ANSWER) + 1)


def tools() -> None:
    messages: list[Any] = [{"role": "user", "content": checks.WEATHER}]
    chunks = list(_ask(messages, stream=True, tools=TOOLS))
    message = litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message
    (call,) = message.tool_calls
    checks.same((call.function.name, call.function.arguments), ("get_weather", '{"city": "Paris"}'))
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": checks.WEATHER_RESULT}]
    checks.same(_ask(messages, tools=TOOLS).choices[0].message.content, checks.WEATHER_ANSWER)

    place = {"type": "function", "function": {"name": "place", "parameters": Place.model_json_schema()}}
    demanded = _ask(checks.PLACE, checks.CONSTRAINED, tools=[place], tool_choice="required")
    (call,) = demanded.choices[0].message.tool_calls
    Place.model_validate_json(call.function.arguments)


def structured() -> None:
    answer = _ask(checks.PLACE, checks.CONSTRAINED, response_format=Place)
    Place.model_validate_json(answer.choices[0].message.content)


def error() -> None:
    checks.raised(litellm.NotFoundError, lambda: _ask(checks.PLAIN, checks.NOBODY), said=f"`{checks.NOBODY}`")


def broken() -> None:
    text: list[str] = []
    checks.raised(
        litellm.exceptions.MidStreamFallbackError,
        lambda: text.extend(chunk.choices[0].delta.content or "" for chunk in _ask(checks.BROKEN, stream=True)),
        said="engine",
    )
    checks.same("".join(text), checks.BROKEN_BEGINNING)


def cancelled() -> None:
    before = checks.departures()
    stream = _ask(checks.SLOW, stream=True)
    next(stream)
    stream.completion_stream.close()
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
