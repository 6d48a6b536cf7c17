"""LangChain's `ChatOpenAI`."""

from typing import Literal

import checks
import openai
import pydantic
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


class Place(pydantic.BaseModel):
    """Say where it is."""

    country: Literal["France", "Spain"]
    large: bool


@tool
def get_weather(city: str) -> str:
    """Say the weather."""
    checks.same(city, "Paris")
    return checks.WEATHER_RESULT


def _chat(model: str) -> ChatOpenAI:
    return ChatOpenAI(
        model=model, base_url=f"{checks.GATEWAY}/v1", api_key="unused", max_retries=0, timeout=60, stream_usage=True
    )


def plain() -> None:
    checks.same(_chat(checks.SCRIPTED).invoke(checks.PLAIN).text, checks.PLAIN_ANSWER)


def streamed() -> None:
    whole: AIMessageChunk | None = None
    for chunk in _chat(checks.SCRIPTED).stream(checks.STREAMED):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    checks.same(whole.text, checks.STREAMED_ANSWER)
    assert whole.usage_metadata is not None
    checks.same(whole.usage_metadata["output_tokens"], len(checks.STREAMED_ANSWER) + 1)


def tools() -> None:
    chat = _chat(checks.SCRIPTED).bind_tools([get_weather])
    asked = HumanMessage(checks.WEATHER)
    message = chat.invoke([asked])
    assert isinstance(message, AIMessage)
    (call,) = message.tool_calls
    checks.same(chat.invoke([asked, message, get_weather.invoke(call)]).text, checks.WEATHER_ANSWER)

    demanded = _chat(checks.CONSTRAINED).bind_tools([Place], tool_choice="any").invoke(checks.PLACE)
    (call,) = demanded.tool_calls
    Place.model_validate(call["args"])


def structured() -> None:
    assert isinstance(_chat(checks.CONSTRAINED).with_structured_output(Place).invoke(checks.PLACE), Place)


def error() -> None:
    checks.raised(openai.NotFoundError, lambda: _chat(checks.NOBODY).invoke(checks.PLAIN), said=f"`{checks.NOBODY}`")


def broken() -> None:
    text: list[str] = []
    checks.raised(
        openai.APIError,
        lambda: text.extend(chunk.text for chunk in _chat(checks.SCRIPTED).stream(checks.BROKEN)),
        said="engine",
    )
    checks.same("".join(text), checks.BROKEN_BEGINNING)


def cancelled() -> None:
    before = checks.departures()
    stream = _chat(checks.SCRIPTED).stream(checks.SLOW)
    next(stream)
    stream.close()
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
