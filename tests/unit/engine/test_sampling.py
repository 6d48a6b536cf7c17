from typing import cast

import mlx.core as mx
import pytest

from gateway.engine.sampling import Sampler, Samplers, greedy, scale, seeded
from gateway.wire import Sampling

PROBABILITIES = (0.5, 0.25, 0.15, 0.1)
LOGPROBS = mx.log(mx.array([PROBABILITIES]))


def _weights(**sampling: float) -> list[float]:
    probabilities = mx.softmax(scale(LOGPROBS, Sampling(**sampling)), axis=-1)  # pyright: ignore[reportArgumentType]
    values = cast("list[list[float]]", probabilities.tolist())
    return [round(value, 4) for value in values[0]]


def _draw(sampler: Sampler) -> int:
    return cast("list[int]", sampler(LOGPROBS).tolist())[0]


def _draws(seed: int, count: int = 40) -> list[int]:
    sampler = seeded(Sampling(), seed)
    return [_draw(sampler) for _ in range(count)]


def test_temperature_one_leaves_the_distribution() -> None:
    assert _weights() == list(PROBABILITIES)


def test_temperature_is_a_power_of_the_probabilities() -> None:
    squares = [value**2 for value in PROBABILITIES]
    assert _weights(temperature=0.5) == [round(square / sum(squares), 4) for square in squares]


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, 1), (0.5, 1), (0.51, 2), (0.76, 3), (0.91, 4)])
def test_the_nucleus_is_the_smallest_set_that_reaches_its_mass(top_p: float, kept: int) -> None:
    assert sum(weight > 0 for weight in _weights(top_p=top_p)) == kept


def test_the_nucleus_is_taken_after_the_temperature() -> None:
    """At 0.5 the likeliest token has 0.725 of the mass: 0.7 keeps it alone, and two of the untempered."""
    assert sum(weight > 0 for weight in _weights(temperature=0.5, top_p=0.7)) == 1
    assert sum(weight > 0 for weight in _weights(top_p=0.7)) == 2


def test_one_seed_draws_the_same_and_another_does_not() -> None:
    assert _draws(7) == _draws(7)
    assert _draws(7) != _draws(8)


def test_a_seeded_row_is_independent_of_other_draws() -> None:
    sampler = seeded(Sampling(), 7)
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
    shared = samplers.of(Sampling(temperature=0.7, top_p=0.9))
    assert samplers.of(Sampling(temperature=0.7, top_p=0.9, presence_penalty=1.0)) is shared
    assert samplers.of(Sampling(temperature=0.7)) is not shared
    assert samplers.of(Sampling(temperature=0.7, top_p=0.9, top_k=5)) is not shared
    assert samplers.of(Sampling(temperature=0.7, top_p=0.9, min_p=0.1)) is not shared
    one = samplers.of(Sampling(temperature=0.7, top_p=0.9, seed=1))
    assert samplers.of(Sampling(temperature=0.7, top_p=0.9, seed=1)) is not one


def test_a_sampler_that_no_row_uses_is_forgotten() -> None:
    """Clients choose the parameters: whoever sends a thousand temperatures must not leave a thousand samplers."""
    samplers = Samplers()
    kept = samplers.of(Sampling(temperature=0.5))
    for step in range(100):
        samplers.of(Sampling(temperature=1.0 + step / 1000))
    assert samplers.of(Sampling(temperature=0.5)) is kept
    assert samplers.shared_count == 1


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.0), Sampling(top_p=0.0), Sampling(top_k=1)])
def test_no_temperature_no_nucleus_or_one_token_takes_the_likeliest(sampling: Sampling) -> None:
    assert Samplers().of(sampling) is greedy
    assert _draw(greedy) == 0


@pytest.mark.parametrize(("top_k", "kept"), [(0, 4), (1, 1), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_top_k_keeps_so_many_of_the_likeliest(top_k: int, kept: int) -> None:
    weights = _weights(top_k=top_k)
    assert [weight > 0 for weight in weights] == [True] * kept + [False] * (4 - kept)


@pytest.mark.parametrize(("min_p", "kept"), [(0.0, 4), (0.2, 4), (0.21, 3), (0.31, 2), (0.51, 1), (1.0, 1)])
def test_min_p_is_a_share_of_the_likeliest_tokens_probability(min_p: float, kept: int) -> None:
    assert sum(weight > 0 for weight in _weights(min_p=min_p)) == kept


def test_the_nucleus_is_taken_of_what_top_k_leaves() -> None:
    """Of the two likeliest, the first has two thirds of the mass: 0.6 keeps it alone, and two of all four."""
    assert sum(weight > 0 for weight in _weights(top_k=2, top_p=0.6)) == 1
    assert sum(weight > 0 for weight in _weights(top_p=0.6)) == 2


def test_rows_are_scaled_each_by_itself() -> None:
    both = mx.concatenate([LOGPROBS, LOGPROBS[:, ::-1]])
    sampling = Sampling(top_k=3, min_p=0.25, top_p=0.9, temperature=0.8)
    scaled = cast("list[list[float]]", scale(both, sampling).tolist())
    assert scaled[0] == cast("list[list[float]]", scale(LOGPROBS, sampling).tolist())[0]
    assert scaled[1] == scaled[0][::-1]
