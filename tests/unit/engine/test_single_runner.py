"""Engines that serve one at a time, loaded as the product loads them: adapter, draft model, quantised cache."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.contracts.chat import FinishReason
from gateway.engine.loading import EngineSettings, LoadedModel, LoadError, load
from gateway.engine.runner import RowSpec, RowToken, Runner
from gateway.engine.single_runner import SingleRunner
from gateway.wire import Sampling
from tests.support.engine_client import engine_spec
from tests.support.tiny_llama import write_adapter, write_model

PROMPT = tuple(range(40, 70))
SMALL_VOCABULARY = 500
"""Smaller than the tokenizer's, which these tests do not use: the model is quicker."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), vocab_size=SMALL_VOCABULARY)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter"))


@cache
def _load(directory: Path, **options: object) -> LoadedModel:
    """Load once for all tests: a runner is new each time, and the weights are never changed."""
    spec = msgspec.structs.replace(engine_spec(directory, max_rows=1), **options)
    return load(spec, EngineSettings(prefill_step_tokens=8))


def _spec(row: int = 1, **overrides: Any) -> RowSpec:
    fields: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 12, "sampling": Sampling(temperature=0.0)}
    return RowSpec(row=row, **(fields | overrides))


def _run(runner: Runner, *specs: RowSpec) -> dict[int, list[int]]:
    for spec in specs:
        runner.insert(spec)
    tokens: dict[int, list[int]] = {spec.row: [] for spec in specs}
    open_rows = set(tokens)
    while open_rows:
        for token in runner.step():
            tokens[token.row].append(token.token)
            if token.finish_reason:
                open_rows.remove(token.row)
    return tokens


def _greedy(loaded: LoadedModel) -> list[int]:
    return _run(loaded.make_runner(), _spec())[1]


def test_an_adapter_changes_the_answer_and_gives_the_same_one_each_time(model: Path, adapter: Path) -> None:
    adapted = _load(model, adapter_path=str(adapter))
    # Its dropout of a half would show: an engine does not train.
    assert _greedy(adapted) == _greedy(adapted)
    assert _greedy(adapted) != _greedy(_load(model))


def test_an_adapter_of_another_model_is_refused_in_one_sentence(model: Path, tmp_path: Path) -> None:
    wider = write_adapter(tmp_path, hidden_size=128)
    with pytest.raises(LoadError, match="does not fit the model") as raised:
        _load(model, adapter_path=str(wider))
    assert "\n" not in str(raised.value)
    assert str(wider) in str(raised.value)


def test_an_adapter_that_vanished_since_it_was_registered_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="none"):
        _load(model, adapter_path=str(tmp_path / "none"))


@pytest.mark.parametrize("same", [True, False])
def test_a_draft_model_changes_no_greedy_answer_whether_it_guesses_well_or_not(
    model: Path, tmp_path: Path, same: bool
) -> None:
    draft = model if same else write_model(tmp_path, seed=1, num_hidden_layers=1, vocab_size=SMALL_VOCABULARY)
    with_draft = _load(model, draft_path=str(draft))
    assert isinstance(with_draft.make_runner(), SingleRunner)
    assert _greedy(with_draft) == _greedy(_load(model))


def test_a_seed_gives_the_same_text_with_a_draft_model(model: Path) -> None:
    loaded = _load(model, draft_path=str(model))
    seeded = _spec(sampling=Sampling(seed=7))
    first = _run(loaded.make_runner(), seeded)[1]
    assert _run(loaded.make_runner(), seeded)[1] == first
    assert _run(loaded.make_runner(), _spec(sampling=Sampling(seed=8)))[1] != first


def test_a_cache_is_quantised_from_the_first_token_on(model: Path) -> None:
    fine, coarse = (_load(model, kv_bits=bits, kv_group_size=32) for bits in (8, 4))
    assert isinstance(fine.make_runner(), SingleRunner)
    # Four bits are too few for these weights; eight are as good as all, where it matters most.
    plain = _greedy(_load(model))
    assert _greedy(fine)[0] == plain[0]
    assert _greedy(coarse) != plain


def test_a_draft_and_a_quantised_cache_go_together(model: Path) -> None:
    both = _load(model, draft_path=str(model), kv_bits=8, kv_group_size=32)
    assert len(_greedy(both)) == 12


@pytest.mark.parametrize(
    "options",
    [
        {"sampling": Sampling(temperature=0.0, repetition_penalty=1.5)},
        {"sampling": Sampling(temperature=0.0, frequency_penalty=2.0)},
        {"sampling": Sampling(temperature=0.0, logit_bias={7: 100.0})},
        {"top_logprobs": 3},
    ],
)
def test_what_follows_each_drawn_token_is_the_same_with_a_draft_model_and_in_a_batch(
    model: Path, options: dict[str, Any]
) -> None:
    def tokens(loaded: LoadedModel) -> list[RowToken]:
        runner = loaded.make_runner()
        runner.insert(_spec(**options))
        told: list[RowToken] = []
        while not told or not told[-1].finish_reason:
            told += runner.step()
        return told

    batched, drafted = tokens(_load(model)), tokens(_load(model, draft_path=str(model)))
    assert [token.token for token in drafted] == [token.token for token in batched]
    for one, other in zip(batched, drafted, strict=True):
        if one.logprob is None or other.logprob is None:
            assert one.logprob is other.logprob
            continue
        assert one.logprob.logprob == pytest.approx(other.logprob.logprob, abs=1e-4)
        assert len(other.logprob.top) == 3


def test_rows_wait_in_order_and_each_decodes_as_it_does_alone(model: Path) -> None:
    loaded = _load(model, kv_bits=8, kv_group_size=32)
    specs = [_spec(row, prompt=PROMPT[: 10 * row]) for row in (1, 2, 3)]
    together = _run(loaded.make_runner(), *specs)
    assert list(together) == [1, 2, 3]
    for spec in specs:
        assert _run(loaded.make_runner(), spec)[spec.row] == together[spec.row]


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_row_may_leave_in_line_or_while_it_decodes(model: Path, steps: int) -> None:
    runner = _load(model, kv_bits=8, kv_group_size=32).make_runner()
    runner.insert(_spec(1))
    runner.insert(_spec(2, max_tokens=3))
    tokens = [token for _ in range(steps) for token in runner.step()]
    runner.remove(1)
    runner.remove(1)
    tokens += [token for _ in range(3) for token in runner.step()]
    assert [token.row for token in tokens] == [1] * steps + [2] * 3
    assert tokens[-1].finish_reason is FinishReason.LENGTH
    assert runner.step() == []


def test_an_end_token_ends_the_row(model: Path) -> None:
    free = _greedy(_load(model))
    loaded = _load(model, draft_path=str(model))
    runner = loaded.make_runner()
    assert isinstance(runner, SingleRunner)
    runner._end_tokens = frozenset({free[5]})  # pyright: ignore[reportPrivateUsage] - the model's own never comes
    runner.insert(_spec())
    tokens = [token for _ in range(free.index(free[5]) + 1) for token in runner.step()]
    assert tokens[-1].finish_reason is FinishReason.STOP
    assert runner.step() == []
