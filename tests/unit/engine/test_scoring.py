"""Scores of a small random model: equal to a plain forward pass, whatever the chunks."""

import math
from itertools import chain
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.models import llama

from gateway.contracts.scoring import PositionScore
from gateway.engine.runner import ScoreSpec, ScoringError
from gateway.engine.scoring import score

VOCABULARY = 90
SEQUENCE = tuple((7 * at * at + 3) % VOCABULARY for at in range(23))


def _model(vocabulary: int = VOCABULARY) -> Any:
    mx.random.seed(8)
    arguments = llama.ModelArgs(
        model_type="llama",
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=vocabulary,
    )
    return llama.Model(arguments)


@pytest.fixture(scope="module")
def model() -> Any:
    return _model()


def _scores(model: Any, *, chunk_tokens: int, scored_from: int = 1, top_k: int = 5) -> list[PositionScore]:
    spec = ScoreSpec(row=1, tokens=SEQUENCE, scored_from=scored_from, top_k=top_k)
    return list(chain.from_iterable(score(model, spec, chunk_tokens=chunk_tokens)))


def _plain_logprobs(model: Any) -> list[list[float]]:
    """Return the log-probabilities after each token, from one pass without a cache."""
    logits = model(mx.array([SEQUENCE]))[0].astype(mx.float32)
    return (logits - mx.logsumexp(logits, axis=-1, keepdims=True)).tolist()


def test_each_log_probability_is_that_of_a_plain_forward_pass(model: Any) -> None:
    expected = _plain_logprobs(model)
    scores = _scores(model, chunk_tokens=64)
    assert [one.token for one in scores] == list(SEQUENCE[1:])
    for at, one in enumerate(scores):
        assert one.logprob == pytest.approx(expected[at][one.token], abs=1e-6)
        likeliest = sorted(range(VOCABULARY), key=lambda token: (-expected[at][token], token))[:5]
        assert [top.token for top in one.top] == likeliest


@settings(deadline=None, max_examples=25)
@given(chunk_tokens=st.integers(1, 24), scored_from=st.integers(1, len(SEQUENCE) - 1))
def test_chunks_and_an_unscored_beginning_change_nothing(chunk_tokens: int, scored_from: int) -> None:
    model = _model()
    whole = _scores(model, chunk_tokens=64)[scored_from - 1 :]
    chunked = _scores(model, chunk_tokens=chunk_tokens, scored_from=scored_from)
    assert [one.token for one in chunked] == [one.token for one in whole]
    assert [one.logprob for one in chunked] == pytest.approx([one.logprob for one in whole], abs=1e-5)
    assert [one.tail_mass for one in chunked] == pytest.approx([one.tail_mass for one in whole], abs=1e-5)


@pytest.mark.parametrize(("top_k", "kept"), [(0, 0), (1, 1), (64, 64), (VOCABULARY, VOCABULARY), (200, VOCABULARY)])
def test_the_top_and_the_tail_are_all_there_is(model: Any, top_k: int, kept: int) -> None:
    for one in _scores(model, chunk_tokens=7, top_k=top_k):
        assert len(one.top) == kept
        assert sum(math.exp(top.logprob) for top in one.top) + one.tail_mass == pytest.approx(1.0, abs=1e-5)
        assert [top.logprob for top in one.top] == sorted((top.logprob for top in one.top), reverse=True)


def test_no_item_holds_more_positions_than_a_chunk(model: Any) -> None:
    spec = ScoreSpec(row=1, tokens=SEQUENCE, scored_from=10, top_k=0)
    assert [len(item) for item in score(model, spec, chunk_tokens=4)] == [0, 0, 3, 4, 4, 2]


def test_a_token_beyond_the_vocabulary_is_refused_before_it_is_looked_up() -> None:
    with pytest.raises(ScoringError, match="vocabulary of 40"):
        _scores(_model(40), chunk_tokens=4)


def test_a_model_without_finite_answers_is_an_error_and_no_score() -> None:
    model = _model()
    model.model.norm.weight = mx.full(model.model.norm.weight.shape, math.nan)
    with pytest.raises(ScoringError, match="not finite"):
        _scores(model, chunk_tokens=4)
