"""The wire format, byte for byte: what is answered must not change unless somebody means it.

`GOLDEN_WRITE=1 pytest tests/e2e/test_api_golden.py` writes the files anew; the difference is then for review.
"""

import json
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.support.served import SCRIPTED, Served, serving

GOLDEN = Path(__file__).parent / "golden"
CHAT = "/v1/chat/completions"
AGENT = """
default_text = "Hello."
faults = [{match = "LATE", kind = "raise", at_token = 3}]
answers = [
    {match = "call", text = 'Look: <tool_call>{"name": "f", "arguments": {"a": "é"}}</tool_call>'},
    {match = "think", text = "<think>So.</think>Four."},
]
"""
TOOL = {"type": "function", "function": {"name": "f"}}
BODIES: dict[str, dict[str, object]] = {
    "whole": {"model": "tutor", "content": "capital of France"},
    "whole_cut": {"model": "tutor", "content": "capital of France", "max_tokens": 3},
    "whole_choices": {"model": "tutor", "content": "capital of France", "n": 2},
    "whole_call": {"model": "agent", "content": "call", "tools": [TOOL]},
    "whole_reasoning": {"model": "agent", "content": "think"},
    "stream_usage": {"model": "agent", "content": "Hi", "stream": True, "stream_options": {"include_usage": True}},
    "stream_call": {"model": "agent", "content": "call", "tools": [TOOL], "stream": True},
    "stream_reasoning": {"model": "agent", "content": "think", "stream": True},
    "stream_error": {"model": "agent", "content": "LATE", "stream": True},
    "error_unknown_parameter": {"model": "tutor", "content": "Hi", "frequency": 1},
    "error_type": {"model": "tutor", "content": 5},
    "error_value": {"model": "tutor", "content": "Hi", "temperature": 3},
    "error_model": {"model": "gpt-4o", "content": "Hi"},
    "error_context": {"model": "tutor", "content": "x" * 9000},
}
COMPLETIONS: dict[str, dict[str, object]] = {
    "completion": {"prompt": "capital of France", "max_tokens": 3},
    "completion_prompts": {"prompt": ["capital of France", "count"], "n": 2, "max_tokens": 2},
    "completion_echo": {"prompt": "aé", "echo": True, "max_tokens": 1, "logprobs": 1},
    "completion_stream": {"prompt": "Hi", "max_tokens": 1, "stream": True, "stream_options": {"include_usage": True}},
    "completion_suffix": {"prompt": "Hi", "suffix": "."},
}
TOKENS: dict[str, tuple[str, dict[str, object]]] = {
    "tokenize": ("/tokenize", {"prompt": "aé"}),
    "tokenize_messages": ("/tokenize", {"messages": [{"role": "user", "content": "Hi"}]}),
    "detokenize": ("/detokenize", {"tokens": [97, 195, 169]}),
}
_NO_CONTENT = {"role": "assistant", "content": None}
_CHANGING = {
    r"cmpl-[0-9a-f]{32}": "cmpl-ID",
    r"call_[0-9a-f]{24}": "call_ID",
    r'"created":\d+': '"created":0',
    r'"cached_tokens":\d+': '"cached_tokens":0',
    r'"system_fingerprint":"[0-9a-f]{12}"': '"system_fingerprint":"DIGEST"',
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    agent = tmp_path_factory.mktemp("models") / "agent"
    agent.mkdir()
    (agent / "scripted.toml").write_text(AGENT)
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [SCRIPTED / "tutor", agent]) as served:
        yield served


def _compare(name: str, response: httpx.Response, body: str) -> None:
    text = f"{response.status_code} {response.headers['content-type']}\n{body}\n"
    for pattern, constant in _CHANGING.items():
        text = re.sub(pattern, constant, text)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN_WRITE"):
        path.write_text(text)
    assert text == path.read_text()


def _joined(events: str) -> str:
    """Join neighbouring chunks of one kind: where a stream is cut depends on how fast it is read."""
    joined: list[Any] = []
    for data in (event.removeprefix("data: ") for event in events.removesuffix("\n\n").split("\n\n")):
        chunk: Any = data if data == "[DONE]" else json.loads(data)
        delta = _delta(chunk)
        before = _delta(joined[-1]) if joined else None
        if delta and before is not None:
            if set(before) == {"role", "content"} and not before["content"]:
                # The role came before the first text did.
                joined.pop()
                chunk["choices"][0]["delta"] = {**before, **delta} if "content" in delta else {**_NO_CONTENT, **delta}
            elif isinstance(before.get(kind := next(iter(delta))), str):
                before[kind] += delta[kind]
                continue
        joined.append(chunk)
    lines = [
        chunk if chunk == "[DONE]" else json.dumps(chunk, separators=(",", ":"), ensure_ascii=False) for chunk in joined
    ]
    return "".join(f"data: {line}\n\n" for line in lines)


def _delta(chunk: Any) -> dict[str, Any] | None:
    return chunk["choices"][0]["delta"] if isinstance(chunk, dict) and chunk.get("choices") else None


@pytest.mark.parametrize("name", BODIES)
def test_an_answer_is_as_recorded(served: Served, name: str) -> None:
    fields = dict(BODIES[name])
    body = {"messages": [{"role": "user", "content": fields.pop("content")}], **fields}
    response = httpx.post(served.url + CHAT, json=body, timeout=20)
    _compare(name, response, _joined(response.text) if body.get("stream") else response.text)


@pytest.mark.parametrize("name", COMPLETIONS)
def test_a_completion_is_as_recorded(served: Served, name: str) -> None:
    response = httpx.post(f"{served.url}/v1/completions", json={"model": "tutor", **COMPLETIONS[name]}, timeout=20)
    _compare(name, response, response.text)


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_are_as_recorded(served: Served, name: str) -> None:
    path, body = TOKENS[name]
    response = httpx.post(served.url + path, json={"model": "tutor", **body}, timeout=20)
    _compare(name, response, response.text)


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("models", "GET", "/v1/models"),
        ("model", "GET", "/v1/models/tutor"),
        ("error_route", "POST", "/v1/embeddings"),
        ("error_method", "GET", CHAT),
    ],
)
def test_a_route_answers_as_recorded(served: Served, name: str, method: str, path: str) -> None:
    response = httpx.request(method, served.url + path, timeout=20)
    _compare(name, response, response.text)


def test_every_recorded_answer_is_compared() -> None:
    others = {"models", "model", "error_route", "error_method"}
    assert {path.stem for path in GOLDEN.iterdir()} == {*BODIES, *COMPLETIONS, *TOKENS, *others}
