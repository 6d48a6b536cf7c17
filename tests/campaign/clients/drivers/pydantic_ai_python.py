"""pydantic-ai, with its model for OpenAI's chat completions."""

import asyncio
from typing import Any, Literal

import checks
import pydantic
from pydantic_ai import Agent, NativeOutput, Tool
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Place(pydantic.BaseModel):
    """Say where it is."""

    country: Literal["France", "Spain"]
    large: bool


def get_weather(city: str) -> str:
    """Say the weather."""
    checks.same(city, "Paris")
    return checks.WEATHER_RESULT


def _agent(model: str = checks.SCRIPTED, **more: Any) -> Agent[None, Any]:
    provider = OpenAIProvider(base_url=f"{checks.GATEWAY}/v1", api_key="unused")
    return Agent(OpenAIChatModel(model, provider=provider), retries=0, **more)


def plain() -> None:
    checks.same(_agent().run_sync(checks.PLAIN).output, checks.PLAIN_ANSWER)


def streamed() -> None:
    async def read() -> None:
        async with _agent().run_stream(checks.STREAMED) as run:
            text = "".join([delta async for delta in run.stream_text(delta=True)])
        checks.same(text, checks.STREAMED_ANSWER)

    asyncio.run(read())


def tools() -> None:
    checks.same(_agent(tools=[Tool(get_weather, strict=False)]).run_sync(checks.WEATHER).output, checks.WEATHER_ANSWER)
    # A type alone is asked for by a call that is demanded.
    assert isinstance(_agent(checks.CONSTRAINED, output_type=Place).run_sync(checks.PLACE).output, Place)


def structured() -> None:
    agent = _agent(checks.CONSTRAINED, output_type=NativeOutput(Place))
    assert isinstance(agent.run_sync(checks.PLACE).output, Place)


def error() -> None:
    checks.raised(ModelHTTPError, lambda: _agent(checks.NOBODY).run_sync(checks.PLAIN), said=f"`{checks.NOBODY}`")


def broken() -> None:
    text: list[str] = []

    async def read() -> None:
        async with _agent().run_stream(checks.BROKEN) as run:
            async for delta in run.stream_text(delta=True, debounce_by=None):
                text.append(delta)  # noqa: PERF401 - what came before the error counts too.

    checks.raised(ModelAPIError, lambda: asyncio.run(read()), said="engine")
    checks.same("".join(text), checks.BROKEN_BEGINNING)


def cancelled() -> None:
    before = checks.departures()

    async def leave() -> None:
        async with _agent().run_stream(checks.SLOW) as run:
            async for _ in run.stream_text(delta=True, debounce_by=None):
                break
            await run.cancel()
        await asyncio.to_thread(checks.seen_to_leave, before)

    asyncio.run(leave())


checks.run(
    plain=plain,
    streamed=streamed,
    tools=tools,
    structured=structured,
    error=error,
    broken=broken,
    cancelled=cancelled,
)
