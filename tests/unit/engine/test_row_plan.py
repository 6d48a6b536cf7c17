"""Rows with options of their own, through the real batch on a model of random layers: greedy, warm and hot."""

import json
import math
from typing import Any

import jsonschema
import mlx.core as mx
import pytest

from gateway.contracts.chat import FinishReason
from gateway.engine.grammar import Constraint
from gateway.engine.masks import Masks
from gateway.engine.mlx_runner import MlxRunner
from gateway.engine.row_plan import RowPlan
from gateway.engine.runner import RowSpec, RowToken
from gateway.engine.sampling import Samplers, greedy
from gateway.wire import GrammarKind, GrammarSpec, Sampling
from tests.support.tiny_model import END, VOCABULARY_SIZE, grammars, random_model, text_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "sure": {"type": "boolean"},
        "tags": {"type": "array", "items": {"enum": ["x", 1, None]}, "maxItems": 2},
    },
    "required": ["name", "sure", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


def _constraint(schema: object = PERSON) -> Constraint:
    return grammars().compile(
        GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source=json.dumps(schema), param="response_format")
    )


def _spec(row: int, sampling: Sampling, **fields: Any) -> RowSpec:
    options: dict[str, Any] = {"max_tokens": 400, **fields}
    return RowSpec(row=row, prompt=(1, 2, row), sampling=sampling, **options)


def _run(model: Any, *specs: RowSpec, end_tokens: tuple[int, ...] = (END,)) -> dict[int, list[RowToken]]:
    runner = MlxRunner(
        model, end_tokens=end_tokens, max_rows=16, prefill_step_tokens=64, step_bytes=10**6, prefixes=None
    )
    for spec in specs:
        runner.insert(spec)
    told: dict[int, list[RowToken]] = {spec.row: [] for spec in specs}
    open_rows = set(told)
    while open_rows:
        for token in runner.step():
            told[token.row].append(token)
            if token.finish_reason:
                open_rows.remove(token.row)
    runner.close()
    return told


def _ids(tokens: list[RowToken]) -> list[int]:
    return [token.token for token in tokens]


# --- grammars ---


def test_every_answer_that_stops_is_valid_at_any_temperature_and_many_do(model: Any) -> None:
    temperatures = (0.0, 0.3, 1.0, 2.0)
    specs = [
        _spec(row, Sampling(temperature=temperatures[row % 4], seed=row), constraint=_constraint())
        for row in range(1, 17)
    ]
    told = _run(model, *specs)
    stopped = [tokens for tokens in told.values() if tokens[-1].finish_reason is FinishReason.STOP]
    for tokens in stopped:
        jsonschema.validate(json.loads(text_of(_ids(tokens))), PERSON)  # pyright: ignore[reportUnknownMemberType]
    assert len(stopped) >= 8


def test_a_row_ends_where_its_grammar_does_though_the_model_would_go_on(model: Any) -> None:
    (tokens,) = _run(model, _spec(1, Sampling(temperature=0.0), constraint=_constraint({"const": "ab"}))).values()
    assert text_of(_ids(tokens)) == '"ab"'
    assert tokens[-1] == RowToken(1, END, FinishReason.STOP)


def test_a_row_that_is_held_leaves_the_others_as_they_were(model: Any) -> None:
    free = [_spec(row, Sampling(temperature=1.0, seed=row), max_tokens=30) for row in (1, 2)]
    alone = _run(model, *free, end_tokens=())
    beside = _run(model, *free, *(_spec(row, Sampling(), constraint=_constraint()) for row in (3, 4)))
    assert [_ids(beside[row]) for row in (1, 2)] == [_ids(alone[row])[: len(beside[row])] for row in (1, 2)]


def test_a_row_that_is_held_writes_the_same_alone_and_in_company(model: Any) -> None:
    spec = _spec(1, Sampling(seed=3))
    alone = _run(model, _with(spec, _constraint()))[1]
    others = [_spec(row, Sampling(seed=row), constraint=_constraint()) for row in (2, 3, 4)]
    assert _ids(_run(model, *others, _with(spec, _constraint()))[1]) == _ids(alone)


def test_a_cut_document_ends_with_length(model: Any) -> None:
    (tokens,) = _run(model, _spec(1, Sampling(), max_tokens=3, constraint=_constraint())).values()
    assert tokens[-1].finish_reason is FinishReason.LENGTH


def test_penalties_and_biases_do_not_break_a_grammar(model: Any) -> None:
    """Even the end token, biased away, comes where nothing else may."""
    sampling = Sampling(
        temperature=0.0, presence_penalty=2.0, frequency_penalty=2.0, logit_bias={END: -100.0, 60: 100.0}
    )
    (tokens,) = _run(model, _spec(1, sampling, constraint=_constraint({"enum": ["abc", True]}))).values()
    assert json.loads(text_of(_ids(tokens))) in ("abc", True)


def test_a_grammar_that_fails_ends_its_row_alone_and_says_so(model: Any) -> None:
    broken, whole = _constraint(), _constraint()
    broken.matcher.consume_token(70)  # what the grammar does not allow here: the matcher never leaves its error
    told = _run(model, _spec(1, Sampling(seed=1), constraint=broken), _spec(2, Sampling(seed=2), constraint=whole))
    assert told[1][-1].finish_reason is FinishReason.STOP
    assert len(told[1]) <= 3
    assert "grammar" in broken.fault
    assert not whole.fault


# --- log-probabilities ---


def test_log_probabilities_are_the_models_own_whatever_changes_the_draw(model: Any) -> None:
    changed = Sampling(temperature=1.7, top_k=50, logit_bias={7: 3.0}, presence_penalty=1.0, seed=4)
    (tokens,) = _run(model, _spec(1, changed, max_tokens=6, top_logprobs=4), end_tokens=()).values()
    ids = [1, 2, 1, *_ids(tokens)]
    logits = model(mx.array([ids]))[0].astype(mx.float32)
    expected: Any = (logits - mx.logsumexp(logits, axis=-1, keepdims=True)).tolist()
    for at, token in enumerate(tokens):
        assert token.logprob is not None
        row = expected[at + 2]
        assert token.logprob.logprob == pytest.approx(row[token.token], abs=1e-3)
        assert [top.token for top in token.logprob.top] == sorted(range(VOCABULARY_SIZE), key=lambda one: -row[one])[:4]


def test_the_chosen_token_is_the_likeliest_where_it_is_drawn_greedily(model: Any) -> None:
    (tokens,) = _run(model, _spec(1, Sampling(temperature=0.0), max_tokens=5, top_logprobs=1), end_tokens=()).values()
    for token in tokens:
        assert token.logprob is not None
        assert token.logprob.top[0].token == token.token
        assert token.logprob.top[0].logprob == token.logprob.logprob


def test_none_may_be_named_beside_the_chosen_one(model: Any) -> None:
    (tokens,) = _run(model, _spec(1, Sampling(), max_tokens=3, top_logprobs=0), end_tokens=()).values()
    assert all(token.logprob is not None and token.logprob.top == () for token in tokens)
    assert all(token.logprob is not None and math.isfinite(token.logprob.logprob) for token in tokens)


def test_asking_for_log_probabilities_does_not_change_the_answer(model: Any) -> None:
    plain = _run(model, _spec(1, Sampling(seed=9), max_tokens=12), end_tokens=())[1]
    asked = _run(model, _spec(1, Sampling(seed=9), max_tokens=12, top_logprobs=20), end_tokens=())[1]
    assert _ids(plain) == _ids(asked)


# --- penalties ---


def test_a_frequent_token_is_pushed_away(model: Any) -> None:
    free = _ids(_run(model, _spec(1, Sampling(temperature=0.0), max_tokens=40), end_tokens=())[1])
    penalised = _ids(
        _run(model, _spec(1, Sampling(temperature=0.0, frequency_penalty=2.0), max_tokens=40), end_tokens=())[1]
    )
    assert len(set(penalised)) > len(set(free))


def test_a_banned_token_never_comes_and_a_favoured_one_always_does(model: Any) -> None:
    free = _ids(_run(model, _spec(1, Sampling(temperature=0.0), max_tokens=5), end_tokens=())[1])
    sampling = Sampling(temperature=0.0, logit_bias={free[0]: -100.0})
    assert free[0] not in _ids(_run(model, _spec(1, sampling, max_tokens=5), end_tokens=())[1])
    sampling = Sampling(temperature=2.0, logit_bias={17: 100.0})
    assert _ids(_run(model, _spec(1, sampling, max_tokens=5), end_tokens=())[1]) == [17] * 5


# --- what a row does not ask for costs nothing ---


def test_a_plain_row_shares_its_sampler_and_has_no_processor() -> None:
    samplers, masks = Samplers(), Masks(frozenset({END}))
    plans = [RowPlan(_spec(row, Sampling(temperature=0.7)), samplers, masks) for row in (1, 2)]
    assert plans[0].sampler is plans[1].sampler
    assert plans[0].processors == []
    assert RowPlan(_spec(1, Sampling(temperature=0.0)), samplers, masks).sampler is greedy


def test_rows_with_penalties_share_their_sampler() -> None:
    samplers, masks = Samplers(), Masks(frozenset({END}))
    plans = [RowPlan(_spec(row, Sampling(presence_penalty=row / 2)), samplers, masks) for row in (1, 2)]
    assert plans[0].sampler is plans[1].sampler


def _with(spec: RowSpec, constraint: Constraint) -> RowSpec:
    return RowSpec(
        row=spec.row, prompt=spec.prompt, max_tokens=spec.max_tokens, sampling=spec.sampling, constraint=constraint
    )
