"""The real BatchGenerator on a model of two small random layers: what must hold for any weights."""

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models import llama

from gateway.contracts.chat import FinishReason
from gateway.engine.mlx_runner import LostRowsError, MlxRunner
from gateway.engine.runner import RowSpec

VOCABULARY = 300


@pytest.fixture(scope="module")
def model() -> Any:
    mx.random.seed(5)
    arguments = llama.ModelArgs(
        model_type="llama",
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=VOCABULARY,
    )
    return llama.Model(arguments)


def _runner(model: Any, *, end_tokens: tuple[int, ...] = (), max_rows: int = 8) -> MlxRunner:
    return MlxRunner(model, end_tokens=end_tokens, max_rows=max_rows, prefill_step_tokens=4)


def _spec(row: int, prompt: tuple[int, ...] = (1, 2, 3), **overrides: Any) -> RowSpec:
    fields: dict[str, Any] = {"max_tokens": 12, "temperature": 0.0, "top_p": 1.0, "seed": None} | overrides
    return RowSpec(row=row, prompt=prompt, **fields)


def _run(runner: MlxRunner, *specs: RowSpec, late: RowSpec | None = None) -> dict[int, list[int]]:
    """Decode all rows to their ends; `late` joins after three steps."""
    for spec in specs:
        runner.insert(spec)
    tokens: dict[int, list[int]] = {spec.row: [] for spec in (*specs, *([late] if late else []))}
    open_rows, steps = set(tokens), 0
    while open_rows:
        steps += 1
        if late and steps == 4:
            runner.insert(late)
        for token in runner.step():
            tokens[token.row].append(token.token)
            if token.finish_reason:
                open_rows.remove(token.row)
    return tokens


def test_rows_of_different_lengths_decode_together_as_they_do_alone(model: Any) -> None:
    specs = [_spec(1), _spec(2, (9, 8, 7, 6, 5, 4, 3, 2, 1)), _spec(3, (100,))]
    together = _run(_runner(model), *specs)
    for spec in specs:
        assert _run(_runner(model), spec)[spec.row] == together[spec.row]


def test_a_row_that_joins_later_decodes_as_it_does_alone(model: Any) -> None:
    late = _spec(2, (9, 8, 7, 6, 5, 4, 3, 2, 1))
    assert _run(_runner(model), _spec(1), late=late)[2] == _run(_runner(model), late)[2]


def test_a_seeded_row_is_reproducible_whatever_runs_beside_it(model: Any) -> None:
    seeded = _spec(1, temperature=1.0, seed=11)
    alone = _run(_runner(model), seeded)[1]
    noise = [_spec(row, (row, row), temperature=1.0) for row in (2, 3, 4)]
    assert _run(_runner(model), *noise, seeded, late=_spec(5, temperature=0.7, top_p=0.9))[1] == alone
    assert _run(_runner(model), _spec(1, temperature=1.0, seed=12))[1] != alone


def test_an_end_token_stops_a_row_and_the_limit_cuts_it(model: Any) -> None:
    free = _run(_runner(model), _spec(1))[1]
    assert len(free) == 12
    end = free[5]
    runner = _runner(model, end_tokens=(end,))
    runner.insert(_spec(1))
    tokens = [token for _ in range(20) for token in runner.step()]
    assert [token.token for token in tokens] == free[: free.index(end) + 1]
    assert tokens[-1].finish_reason is FinishReason.STOP


def test_more_rows_than_the_limit_wait_and_are_all_answered(model: Any) -> None:
    specs = [_spec(row, (row,)) for row in range(1, 6)]
    assert all(len(tokens) == 12 for tokens in _run(_runner(model, max_rows=2), *specs).values())


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_row_may_leave_in_line_in_prefill_or_while_it_decodes(model: Any, steps: int) -> None:
    runner = _runner(model)
    expected = _run(_runner(model), _spec(1))[1]
    runner.insert(_spec(1))
    runner.insert(_spec(2, tuple(range(1, 11))))
    tokens = [token for _ in range(steps) for token in runner.step()]
    runner.remove(2)
    runner.remove(2)
    tokens += [token for _ in range(20) for token in runner.step()]
    assert [token.token for token in tokens if token.row == 1] == expected
    assert not [token for token in tokens if token.row == 2 and token.finish_reason]


def test_rows_that_the_generator_lost_are_an_error_and_no_silence(model: Any) -> None:
    runner = _runner(model)
    runner.insert(_spec(1))
    runner._generator.remove([0])  # pyright: ignore[reportPrivateUsage] - the loss has no other cause to inject
    with pytest.raises(LostRowsError):
        runner.step()


def test_without_rows_a_step_does_nothing(model: Any) -> None:
    assert _runner(model).step() == []
