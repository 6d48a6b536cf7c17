"""Spawned engines and their prefix cache: the embedded model's answers, and what survives the process."""

import time
from pathlib import Path

import msgspec
import pytest

from gateway import wire
from tests.support.engine_client import WAIT_S, Answer, EngineClient, engine_spec, submit
from tests.support.models import embedded_model
from tests.support.tiny_llama import write_model

SETTINGS = {"prefix_cache_bytes": 10**9}
SYSTEM = "You answer in one short sentence. " * 8


def _settings(**more: object) -> str:
    return msgspec.json.encode({**SETTINGS, **more}).decode()


def _chat(request_id: str, *turns: str, **overrides: object) -> wire.Submit:
    """Return a request of the system message and turns that alternate between user and assistant."""
    roles = ("user", "assistant")
    messages = [wire.WireMessage("system", SYSTEM)]
    messages += [wire.WireMessage(roles[at % 2], turn) for at, turn in enumerate(turns)]
    return submit(request_id, "", messages=tuple(messages), **{"max_completion_tokens": 12, **overrides})


def _ended(answer: Answer) -> wire.TokenDelta:
    assert isinstance(answer.last, wire.TokenDelta), answer.last
    return answer.last


@pytest.mark.model
def test_the_second_turn_of_a_chat_computes_its_new_tokens_only_and_answers_as_without_the_cache() -> None:
    question = "What is the capital of France?"
    with EngineClient(engine_spec(embedded_model()), settings=_settings()) as engine:
        engine.ready()
        first = engine.ask(_chat("a", question))
        assert "Paris" in first.text
        assert _ended(first).cached_tokens == 0
        turns = (question, first.text, "And of Italy?")
        second = engine.ask(_chat("b", *turns))
        without = engine.ask(_chat("c", *turns, prefix_cache=False))
        assert second.text == without.text
        assert _ended(without).cached_tokens == 0
        engine.send(msgspec.structs.replace(_chat("d", *turns), max_completion_tokens=1))
        accepted = engine.receive()
        assert isinstance(accepted, wire.Accepted)
        new_tokens = accepted.prompt_tokens - _ended(second).cached_tokens
        # The end of the answer's message, the new message, and the beginning of the next answer.
        assert 0 < new_tokens <= 20
        step = engine.step_until("idle")
        assert step.prefix_cache.hits == 2
        assert step.prefix_cache.held_bytes > 0


def test_an_engine_that_starts_again_finds_what_the_last_one_wrote(tmp_path: Path) -> None:
    directory = tmp_path / "kv"
    spec = engine_spec(write_model(tmp_path / "model"))
    settings = _settings(prefix_cache_dir=str(directory), prefix_cache_dir_bytes=10**8)
    with EngineClient(spec, settings=settings) as engine:
        engine.ready()
        first = engine.ask(_chat("a", "hello"))
        _wait_until_stored(directory)
        engine.send(wire.Stop())
        assert engine.process.wait(WAIT_S) == 0
    with EngineClient(spec, settings=settings) as engine:
        engine.ready()
        again = engine.ask(_chat("a", "hello"))
        assert again.text == first.text
        assert _ended(again).cached_tokens > 50


def _wait_until_stored(directory: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not list(directory.rglob("*-*.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
