"""A spawned engine on the embedded model scores what it would say itself."""

import math

import pytest

from gateway import wire
from gateway.contracts.scoring import TokenScore
from tests.support.engine_client import EngineClient, engine_spec, submit
from tests.support.models import embedded_model

pytestmark = pytest.mark.model

PARIS = "What is the capital of France?"


def _score(engine: EngineClient, answer: str, *, top_k: int = 5) -> list[TokenScore]:
    messages = (wire.WireMessage(role="user", content=PARIS), wire.WireMessage(role="assistant", content=answer))
    engine.send(wire.Score(request_id=answer, tokens=None, messages=messages, template_arguments={}, top_k=top_k))
    positions: list[TokenScore] = []
    while True:
        message = engine.receive()
        assert not isinstance(message, wire.Rejected | wire.Fault), message
        if isinstance(message, wire.Scored):
            positions += message.positions
            if message.ended:
                return positions


def test_a_greedy_answer_is_the_likeliest_at_each_token_and_a_wrong_one_is_not() -> None:
    with EngineClient(engine_spec(embedded_model()), settings='{"score_chunk_tokens": 16}') as engine:
        engine.ready()
        said = engine.ask(submit("a", PARIS, max_completion_tokens=8)).text
        right = _score(engine, said)
        assert "".join(position.text for position in right) == said
        assert all(position.top[0].token == position.token for position in right)
        for position in right:
            assert sum(math.exp(top.logprob) for top in position.top) + position.tail_mass == pytest.approx(1, abs=1e-4)
        wrong = _score(engine, said.replace("Paris", "London"))
        assert sum(position.logprob for position in wrong) < sum(position.logprob for position in right)
