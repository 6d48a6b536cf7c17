"""Evidence that may be read at any time, against exact counts and simulated runs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.judge.betting import BETS, log_evidence


def final(values: list[float], *, floor: float = 0.0) -> float:
    return math.exp(float(log_evidence(np.asarray(values), floor=floor, top=1.0)[-1]))


def test_evidence_is_the_mean_of_what_each_bet_made() -> None:
    expected = sum((1 + bet) ** 3 * (1 - bet) for bet in BETS) / len(BETS)
    assert final([-1, 0, -1, 1, -1, 0]) == pytest.approx(expected)


@pytest.mark.parametrize("floor", [0.0, 0.8])
def test_evidence_is_1_on_average_where_the_mean_is_the_floor(floor: float) -> None:
    # Every sequence of six cases, weighed by its probability: no simulation, so no chance of a wrong answer.
    worst = -1.0 if floor == 0 else 0.0
    right = (floor - worst) / (1 - worst)
    total = 0.0
    for sequence in itertools.product((worst, 1.0), repeat=6):
        probability = math.prod(right if value == 1.0 else 1 - right for value in sequence)
        total += probability * final(list(sequence), floor=floor)
    assert total == pytest.approx(1.0)


def test_evidence_of_20_is_reached_at_any_time_by_less_than_1_run_in_20_that_is_no_worse() -> None:
    draw = np.random.default_rng(20261125).random((4000, 400))
    differences = np.where(draw < 0.1, 1.0, np.where(draw < 0.2, -1.0, 0.0))
    reached = (log_evidence(differences, floor=0.0, top=1.0) >= math.log(20)).any(axis=1).mean()
    # Ville's bound is 0.05; at this seed 0.03, with a standard error of 0.003.
    assert 0.01 < reached < 0.05


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60))
def test_evidence_read_early_is_not_changed_by_what_comes_later(values: list[float]) -> None:
    whole = log_evidence(np.asarray(values), floor=0.0, top=1.0)
    for length in range(1, len(values) + 1):
        assert whole[length - 1] == log_evidence(np.asarray(values[:length]), floor=0.0, top=1.0)[-1]


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_lower_value_is_never_less_evidence(values: list[float]) -> None:
    lower = [max(value - 0.1, -1.0) for value in values]
    assert final(lower) >= final(values) - 1e-9
