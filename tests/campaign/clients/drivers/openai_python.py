"""The official `openai` package for Python; with the argument `responses`, over /v1/responses."""

import json
from typing import Any, Literal

import checks
import openai
import pydantic


class Place(pydantic.BaseModel):
    """Say where it is."""

    country: Literal["France", "Spain"]
    large: bool


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION: Any = {"name": "get_weather", "description": "Say the weather.", "parameters": PARAMETERS}

client = openai.OpenAI(base_url=f"{checks.GATEWAY}/v1", api_key="unused", max_retries=0, timeout=60)


def _ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


class Chat:
    """Over /v1/chat/completions."""

    @staticmethod
    def plain() -> None:
        completion = client.chat.completions.create(model=checks.SCRIPTED, messages=_ask(checks.PLAIN))
        checks.same(completion.choices[0].message.content, checks.PLAIN_ANSWER)
        checks.same(completion.choices[0].finish_reason, "stop")

    @staticmethod
    def streamed() -> None:
        stream = client.chat.completions.create(
            model=checks.SCRIPTED, messages=_ask(checks.STREAMED), stream=True, stream_options={"include_usage": True}
        )
        *chunks, last = list(stream)
        checks.same("".join(chunk.choices[0].delta.content or "" for chunk in chunks), checks.STREAMED_ANSWER)
        assert last.usage is not None
        checks.same(last.usage.completion_tokens, len(checks.STREAMED_ANSWER) + 1)

    @staticmethod
    def tools() -> None:
        messages = _ask(checks.WEATHER)
        tools: list[Any] = [{"type": "function", "function": FUNCTION}]
        with client.chat.completions.stream(model=checks.SCRIPTED, messages=messages, tools=tools) as events:
            message = events.get_final_completion().choices[0].message
        assert message.tool_calls
        (call,) = message.tool_calls
        checks.same(json.loads(call.function.arguments), {"city": "Paris"})
        messages += [message, {"role": "tool", "tool_call_id": call.id, "content": checks.WEATHER_RESULT}]
        completion = client.chat.completions.create(model=checks.SCRIPTED, messages=messages, tools=tools)
        checks.same(completion.choices[0].message.content, checks.WEATHER_ANSWER)

        demanded = client.chat.completions.parse(
            model=checks.CONSTRAINED,
            messages=_ask(checks.PLACE),
            tools=[openai.pydantic_function_tool(Place)],
            tool_choice="required",
        )
        (call,) = demanded.choices[0].message.tool_calls or []
        assert isinstance(call.function.parsed_arguments, Place)

    @staticmethod
    def structured() -> None:
        completion = client.chat.completions.parse(
            model=checks.CONSTRAINED, messages=_ask(checks.PLACE), response_format=Place
        )
        place = completion.choices[0].message.parsed
        assert place is not None
        assert place.country in checks.COUNTRIES

    @staticmethod
    def error() -> None:
        checks.raised(
            openai.NotFoundError,
            lambda: client.chat.completions.create(model=checks.NOBODY, messages=_ask(checks.PLAIN)),
            said=f"`{checks.NOBODY}`",
        )

    @staticmethod
    def broken() -> None:
        stream = client.chat.completions.create(model=checks.SCRIPTED, messages=_ask(checks.BROKEN), stream=True)
        text: list[str] = []
        checks.raised(
            openai.APIError,
            lambda: text.extend(chunk.choices[0].delta.content or "" for chunk in stream),
            said="engine",
        )
        checks.same("".join(text), checks.BROKEN_BEGINNING)

    @staticmethod
    def cancelled() -> None:
        before = checks.departures()
        stream = client.chat.completions.create(model=checks.SCRIPTED, messages=_ask(checks.SLOW), stream=True)
        next(iter(stream))
        stream.close()
        checks.seen_to_leave(before)


class Responses:
    """Over /v1/responses."""

    @staticmethod
    def plain() -> None:
        response = client.responses.create(model=checks.SCRIPTED, input=checks.PLAIN)
        checks.same(response.output_text, checks.PLAIN_ANSWER)
        checks.same(response.status, "completed")

    @staticmethod
    def streamed() -> None:
        with client.responses.stream(model=checks.SCRIPTED, input=checks.STREAMED) as events:
            text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
            response = events.get_final_response()
        checks.same(text, checks.STREAMED_ANSWER)
        checks.same(response.output_text, checks.STREAMED_ANSWER)
        assert response.usage is not None
        checks.same(response.usage.output_tokens, len(checks.STREAMED_ANSWER) + 1)

    @staticmethod
    def tools() -> None:
        tools: list[Any] = [{"type": "function", **FUNCTION}]
        with client.responses.stream(model=checks.SCRIPTED, input=checks.WEATHER, tools=tools) as events:
            response = events.get_final_response()
        (call,) = response.output
        assert call.type == "function_call"
        checks.same(json.loads(call.arguments), {"city": "Paris"})
        result = {"type": "function_call_output", "call_id": call.call_id, "output": checks.WEATHER_RESULT}
        asked: list[Any] = [*_ask(checks.WEATHER), call, result]
        again = client.responses.create(model=checks.SCRIPTED, input=asked, tools=tools)
        checks.same(again.output_text, checks.WEATHER_ANSWER)

        place = openai.pydantic_function_tool(Place)["function"]
        demanded = client.responses.create(
            model=checks.CONSTRAINED,
            input=checks.PLACE,
            tools=[{"type": "function", **place}],
            tool_choice="required",
        )
        (call,) = demanded.output
        assert call.type == "function_call"
        Place.model_validate_json(call.arguments)

    @staticmethod
    def structured() -> None:
        response = client.responses.parse(model=checks.CONSTRAINED, input=checks.PLACE, text_format=Place)
        assert response.output_parsed is not None
        assert response.output_parsed.country in checks.COUNTRIES

    @staticmethod
    def error() -> None:
        checks.raised(
            openai.NotFoundError,
            lambda: client.responses.create(model=checks.NOBODY, input=checks.PLAIN),
            said=f"`{checks.NOBODY}`",
        )

    @staticmethod
    def broken() -> None:
        events = list(client.responses.create(model=checks.SCRIPTED, input=checks.BROKEN, stream=True))
        checks.same(
            "".join(event.delta for event in events if event.type == "response.output_text.delta"),
            checks.BROKEN_BEGINNING,
        )
        checks.same(events[-1].type, "response.failed")

    @staticmethod
    def cancelled() -> None:
        before = checks.departures()
        stream = client.responses.create(model=checks.SCRIPTED, input=checks.SLOW, stream=True)
        for event in stream:
            if event.type == "response.output_text.delta":
                break
        stream.close()
        checks.seen_to_leave(before)


route = Responses if checks.ARGUMENTS == ["responses"] else Chat
checks.run(
    plain=route.plain,
    streamed=route.streamed,
    tools=route.tools,
    structured=route.structured,
    error=route.error,
    broken=route.broken,
    cancelled=route.cancelled,
)
