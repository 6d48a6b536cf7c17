from typing import cast

import mlx.core as mx
import pytest

from gateway.engine.sampling import Sampler, Samplers, greedy, scale, seeded

PROBABILITIES = (0.5, 0.25, 0.15, 0.1)
LOGPROBS = mx.log(mx.array([PROBABILITIES]))


def _weights(temperature: float, top_p: float) -> list[float]:
    probabilities = mx.softmax(scale(LOGPROBS, temperature, top_p), axis=-1)
    values = cast("list[list[float]]", probabilities.tolist())
    return [round(value, 4) for value in values[0]]


def _draw(sampler: Sampler) -> int:
    return cast("list[int]", sampler(LOGPROBS).tolist())[0]


def _draws(seed: int, count: int = 40) -> list[int]:
    sampler = seeded(1.0, 1.0, seed)
    return [_draw(sampler) for _ in range(count)]


def test_temperature_one_leaves_the_distribution() -> None:
    assert _weights(1.0, 1.0) == list(PROBABILITIES)


def test_temperature_is_a_power_of_the_probabilities() -> None:
    squares = [value**2 for value in PROBABILITIES]
    assert _weights(0.5, 1.0) == [round(square / sum(squares), 4) for square in squares]


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, 1), (0.5, 1), (0.51, 2), (0.76, 3), (0.91, 4)])
def test_the_nucleus_is_the_smallest_set_that_reaches_its_mass(top_p: float, kept: int) -> None:
    assert sum(weight > 0 for weight in _weights(1.0, top_p)) == kept


def test_the_nucleus_is_taken_after_the_temperature() -> None:
    """At 0.5 the likeliest token has 0.725 of the mass: 0.7 keeps it alone, and two of the untempered."""
    assert sum(weight > 0 for weight in _weights(0.5, 0.7)) == 1
    assert sum(weight > 0 for weight in _weights(1.0, 0.7)) == 2


def test_one_seed_draws_the_same_and_another_does_not() -> None:
    assert _draws(7) == _draws(7)
    assert _draws(7) != _draws(8)


def test_a_seeded_row_is_independent_of_other_draws() -> None:
    sampler = seeded(1.0, 1.0, 7)
    drawn: list[int] = []
    for _ in range(40):
        mx.eval(mx.random.uniform(shape=(3,)))  # pyright: ignore[reportUnknownMemberType] - untyped arguments
        drawn.append(_draw(sampler))
    assert drawn == _draws(7)


def test_a_seed_may_be_negative_and_of_any_size() -> None:
    assert _draws(-1, 3) == _draws(2**64 - 1, 3)


def test_seeded_draws_follow_the_distribution() -> None:
    draws = _draws(1, 2000)
    for token, probability in enumerate(PROBABILITIES):
        assert abs(draws.count(token) / len(draws) - probability) < 0.05


def test_rows_with_equal_parameters_share_one_sampler_and_seeded_rows_do_not() -> None:
    samplers = Samplers()
    assert samplers.of(temperature=0.7, top_p=0.9, seed=None) is samplers.of(temperature=0.7, top_p=0.9, seed=None)
    assert samplers.of(temperature=0.7, top_p=0.9, seed=None) is not samplers.of(temperature=0.7, top_p=1.0, seed=None)
    assert samplers.of(temperature=0.7, top_p=0.9, seed=1) is not samplers.of(temperature=0.7, top_p=0.9, seed=1)


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (1.0, 0.0)])
def test_no_temperature_or_no_nucleus_takes_the_likeliest(temperature: float, top_p: float) -> None:
    assert Samplers().of(temperature=temperature, top_p=top_p, seed=1) is greedy
    assert _draw(greedy) == 0
