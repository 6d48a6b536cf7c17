"""The OpenAI Agents SDK; with the argument `responses`, over /v1/responses, else over chat completions."""

import asyncio
from typing import Any, Literal

import checks
import openai
import pydantic
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)


class Place(pydantic.BaseModel):
    country: Literal["France", "Spain"]
    large: bool


@function_tool(strict_mode=False)
def get_weather(city: str) -> str:
    """Say the weather."""
    checks.same(city, "Paris")
    return checks.WEATHER_RESULT


@function_tool
def place(country: Literal["France", "Spain"]) -> str:
    """Say where it is."""
    return country


set_tracing_disabled(disabled=True)
LOOP = asyncio.Runner()
"""One for all runs: the SDK shares its connections between them."""
_ROUTE = OpenAIResponsesModel if checks.ARGUMENTS == ["responses"] else OpenAIChatCompletionsModel


def _agent(model: str = checks.SCRIPTED, **more: Any) -> Agent[Any]:
    client = openai.AsyncOpenAI(base_url=f"{checks.GATEWAY}/v1", api_key="unused", max_retries=0, timeout=60)
    return Agent(name="asker", instructions="Be brief.", model=_ROUTE(model, client), **more)


def _final(agent: Agent[Any], text: str) -> Any:
    return LOOP.run(Runner.run(agent, text)).final_output


async def _deltas(agent: Agent[Any], text: str, into: list[str]) -> Any:
    """Run the agent, put its text into the list as it comes, and return the run."""
    run = Runner.run_streamed(agent, text)
    async for event in run.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            into.append(event.data.delta)  # noqa: PERF401 - what came before an error counts too.
    return run


def plain() -> None:
    checks.same(_final(_agent(), checks.PLAIN), checks.PLAIN_ANSWER)


def streamed() -> None:
    text: list[str] = []
    run = LOOP.run(_deltas(_agent(model_settings=ModelSettings(include_usage=True)), checks.STREAMED, text))
    checks.same("".join(text), checks.STREAMED_ANSWER)
    checks.same(run.context_wrapper.usage.output_tokens, len(checks.STREAMED_ANSWER) + 1)


def tools() -> None:
    agent = _agent(tools=[get_weather])
    checks.same(_final(agent, checks.WEATHER), checks.WEATHER_ANSWER)
    text: list[str] = []
    LOOP.run(_deltas(agent, checks.WEATHER, text))
    checks.same("".join(text), checks.WEATHER_ANSWER)
    demanded = _agent(
        checks.CONSTRAINED,
        tools=[place],
        model_settings=ModelSettings(tool_choice="required"),
        tool_use_behavior="stop_on_first_tool",
    )
    assert _final(demanded, checks.PLACE) in checks.COUNTRIES


def structured() -> None:
    assert isinstance(_final(_agent(checks.CONSTRAINED, output_type=Place), checks.PLACE), Place)


def error() -> None:
    checks.raised(
        openai.NotFoundError,
        lambda: _final(_agent(checks.NOBODY), checks.PLAIN),
        said=f"`{checks.NOBODY}`",
    )


def broken() -> None:
    text: list[str] = []
    checks.raised(Exception, lambda: LOOP.run(_deltas(_agent(), checks.BROKEN, text)), said="engine")
    checks.same("".join(text), checks.BROKEN_BEGINNING)


def cancelled() -> None:
    before = checks.departures()

    async def leave() -> None:
        run = Runner.run_streamed(_agent(), checks.SLOW)
        async for event in run.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                run.cancel()
        await asyncio.to_thread(checks.seen_to_leave, before)

    LOOP.run(leave())


checks.run(
    plain=plain,
    streamed=streamed,
    tools=tools,
    structured=structured,
    error=error,
    broken=broken,
    cancelled=cancelled,
)
