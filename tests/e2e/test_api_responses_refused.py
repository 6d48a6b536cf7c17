"""What `/v1/responses` refuses, over a real server and a scripted engine: each by its field, in its own words."""

from collections.abc import Generator
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving

RESPONSES = "/v1/responses"
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
USER = {"role": "user", "content": "a"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    agent = write_scripted_model(tmp_path_factory.mktemp("models") / "agent", "context_length = 3000")
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [agent]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": None}, "invalid_type", "input"),
        ({"input": []}, "invalid_value", "input"),
        ({"input": [{"role": "tool", "content": "a"}]}, "invalid_value", "input[0].role"),
        ({"input": [{"content": "a"}]}, "missing_required_parameter", "input[0].role"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"input": [USER | {"call_id": "c"}]}, "invalid_value", "input[0].call_id"),
        ({"input": [USER, {"type": "web_search_call", "id": "w"}]}, "invalid_value", "input[1].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "invalid_value",
            "input[0].content[0].type",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "reasoning_text", "text": "x"}]}]},
            "invalid_value",
            "input[0].content[0].type",
        ),
        ({"input": [CALL | {"name": None}]}, "missing_required_parameter", "input[0].name"),
        ({"input": [CALL | {"output": "a"}]}, "invalid_value", "input[0].output"),
        (
            {"input": [USER, {"type": "function_call_output", "call_id": "c", "output": "a"}]},
            "invalid_value",
            "input[1].call_id",
        ),
        ({"input": [{"type": "item_reference", "id": "nobody"}]}, "invalid_value", "input[0].id"),
        ({"previous_response_id": "resp_1"}, "previous_response_not_found", "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "invalid_value", "tools[0].type"),
        ({"tools": [WEATHER | {"defer_loading": True}]}, "unknown_parameter", "tools[0].defer_loading"),
        ({"tools": [WEATHER, WEATHER]}, "invalid_value", "tools[1].name"),
        ({"tools": [WEATHER | {"parameters": {"type": "string"}}]}, "invalid_value", "tools[0].parameters"),
        ({"tools": [WEATHER | {"strict": True, "parameters": {"not": {}}}]}, "invalid_value", "tools"),
        ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "invalid_value", "tool_choice.type"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "f"}}, "invalid_value", "tool_choice"),
        (
            {
                "tools": [WEATHER],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            },
            "invalid_value",
            "tool_choice.tools",
        ),
        ({"background": True}, "unknown_parameter", "background"),
        ({"conversation": "conv_1"}, "unknown_parameter", "conversation"),
        ({"prompt": {"id": "p"}}, "unknown_parameter", "prompt"),
        ({"max_tool_calls": 1}, "unknown_parameter", "max_tool_calls"),
        ({"truncation": "auto"}, "invalid_value", "truncation"),
        ({"include": ["file_search_call.results"]}, "invalid_value", "include[0]"),
        ({"top_logprobs": 2}, "invalid_value", "top_logprobs"),
        ({"stream_options": {}}, "invalid_value", "stream_options"),
        (
            {"stream": True, "stream_options": {"include_usage": True}},
            "unknown_parameter",
            "stream_options.include_usage",
        ),
        ({"max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
        ({"max_output_tokens": 3001}, "invalid_value", "max_output_tokens"),
        ({"max_output_tokens": 3000}, "context_length_exceeded", "input"),
        ({"input": "x" * 3000}, "context_length_exceeded", "input"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"not": {}}}}},
            "invalid_value",
            "text.format",
        ),
        ({"text": {"format": {"type": "grammar"}}}, "invalid_value", "text.format.type"),
        ({"reasoning": {"mode": "pro"}}, "invalid_value", "reasoning.mode"),
        ({"messages": []}, "unknown_parameter", "messages"),
        ({"stop": "a"}, "unknown_parameter", "stop"),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(
    http: httpx.Client, fields: dict[str, object], code: str, param: str
) -> None:
    response = http.post(RESPONSES, json={"model": "agent", "input": "a", **fields})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert "messages" not in error["message"].replace("`messages`", "")
    assert "max_completion_tokens" not in error["message"]


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("", 404, "response_id"),
        ("?stream=true", 400, "stream"),
        ("/input_items", 404, "response_id"),
        ("/input_items?include=x", 400, "include"),
    ],
)
def test_what_is_not_there_to_be_read_is_refused_by_its_field(
    http: httpx.Client, path: str, status: int, param: str
) -> None:
    response = http.get(f"{RESPONSES}/resp_1{path}")
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=nobody"])
def test_a_page_that_there_is_not_is_refused_by_its_parameter(http: httpx.Client, query: str) -> None:
    response_id = http.post(RESPONSES, json={"model": "agent", "input": "a"}).json()["id"]
    response = http.get(f"{RESPONSES}/{response_id}/input_items?{query}")
    assert (response.status_code, response.json()["error"]["param"]) == (400, query.partition("=")[0])
