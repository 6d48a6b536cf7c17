"""When an engine that failed is started again."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.admin import BreakerState
from gateway.fleet.breaker import Breaker

CLOSED, OPEN, HALF_OPEN = BreakerState
ALMOST_ONE = 1 - 2**-53


def breaker(failures_limit: int = 3) -> Breaker:
    return Breaker(failures_limit=failures_limit, open_s=60, stable_after_s=100, backoff_initial_s=1, backoff_max_s=8)


def opened() -> Breaker:
    it = breaker()
    for _ in range(3):
        it.failed(lived_s=1)
    return it


def test_pauses_double_from_failure_to_failure_up_to_the_longest() -> None:
    it = breaker(failures_limit=100)
    pauses_s: list[float] = []
    for _ in range(6):
        it.failed(lived_s=1)
        pauses_s.append(it.pause_s(ALMOST_ONE))
    assert [round(pause_s, 9) for pause_s in pauses_s] == [1, 2, 4, 8, 8, 8]


@given(failures=st.integers(1, 500), draw=st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_in_the_upper_half_of_its_length(failures: int, draw: float) -> None:
    it = breaker(failures_limit=1000)
    for _ in range(failures):
        it.failed(lived_s=0)
    longest_s = min(2.0 ** (failures - 1), 8)
    assert longest_s / 2 <= it.pause_s(draw) <= longest_s


def test_it_opens_at_the_limit_and_rests_as_long_as_is_told_whatever_is_drawn() -> None:
    it = breaker()
    states: list[BreakerState] = []
    for _ in range(3):
        it.failed(lived_s=99)
        states.append(it.state)
    assert states == [CLOSED, CLOSED, OPEN]
    assert it.pause_s(0) == it.pause_s(ALMOST_ONE) == 60


def test_after_the_rest_one_answer_closes_it() -> None:
    it = opened()
    assert not it.answered()
    it.starts()
    assert it.state is HALF_OPEN
    assert it.answered()
    assert it.state is CLOSED
    assert not it.answered()


def test_a_failure_on_trial_opens_it_for_twice_as_long_ten_times_at_most() -> None:
    it = opened()
    rests_s = [it.pause_s(0)]
    for _ in range(5):
        it.starts()
        it.failed(lived_s=1)
        assert it.state is OPEN
        rests_s.append(it.pause_s(0))
    assert rests_s == [60, 120, 240, 480, 600, 600]


def test_an_answer_does_not_begin_the_count_anew() -> None:
    it = opened()
    it.starts()
    it.answered()
    it.failed(lived_s=1)
    assert (it.state, it.pause_s(0)) == (OPEN, 60)


def test_a_long_life_does() -> None:
    it = opened()
    it.starts()
    it.answered()
    it.failed(lived_s=100)
    assert (it.state, it.failures) == (CLOSED, 1)


def test_one_that_lived_long_on_trial_without_a_request_is_not_opened_by_its_first_failure() -> None:
    it = opened()
    it.starts()
    it.failed(lived_s=100)
    assert (it.state, it.failures) == (CLOSED, 1)
