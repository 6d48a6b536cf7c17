"""What a key may still ask for, at times that the test makes."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.keys import KeyLimits
from gateway.rate_limit import Bucket, KeyLimiter, LimitKind

gaps_s = st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=60)
_ROUNDING = 1e-6


def limiter(**limits: int) -> KeyLimiter:
    return KeyLimiter(KeyLimits(**limits), 0.0)


def admitted_at(limits: KeyLimiter, times_s: list[float]) -> list[float]:
    return [now_s for now_s in times_s if limits.admit(now_s) is None]


def times_of(gaps: list[float]) -> list[float]:
    return [sum(gaps[: number + 1]) for number in range(len(gaps))]


@given(st.integers(1, 30), gaps_s)
def test_no_span_of_time_admits_more_than_a_full_bucket_and_what_flows_in(per_min: int, gaps: list[float]) -> None:
    admitted = admitted_at(limiter(requests_per_min=per_min), times_of(gaps))
    for first, start_s in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= per_min + (admitted[last] - start_s) * per_min / 60 + _ROUNDING


@given(st.integers(1, 30), gaps_s)
def test_whoever_waits_as_long_as_it_is_told_is_admitted(per_min: int, gaps: list[float]) -> None:
    limits = limiter(requests_per_min=per_min)
    now_s = 0.0
    for gap_s in gaps:
        now_s += gap_s
        refusal = limits.admit(now_s)
        if refusal is not None:
            assert refusal.retry_after_s > 0
            now_s += refusal.retry_after_s + _ROUNDING
            assert limits.admit(now_s) is None


@given(st.integers(1, 100_000), st.lists(st.integers(0, 50_000), max_size=20), gaps_s)
def test_what_is_told_of_a_rate_is_within_it_and_is_full_again_at_its_reset(
    per_min: int, tokens: list[int], gaps: list[float]
) -> None:
    limits = limiter(tokens_per_min=per_min)
    now_s = 0.0
    for taken, gap_s in zip(tokens, gaps, strict=False):
        now_s += gap_s
        if limits.admit(now_s) is None:
            limits.end(now_s, tokens=taken, duration_s=1.0)
        (standing,) = limits.standings(now_s)
        assert standing.limit == per_min
        assert 0 <= standing.remaining <= per_min
        (later,) = limits.standings(now_s + standing.reset_s + _ROUNDING)
        assert later.remaining == per_min


def test_tokens_are_owed_and_paid_back_before_the_next_request() -> None:
    limits = limiter(tokens_per_min=60)
    assert limits.admit(0.0) is None
    limits.end(0.0, tokens=90, duration_s=1.0)
    refusal = limits.admit(0.0)
    assert refusal is not None
    assert (refusal.kind, refusal.limit) == (LimitKind.TOKENS, 60)
    assert abs(refusal.retry_after_s - 31) < _ROUNDING
    assert limits.standings(0.0)[0].remaining == 0
    assert limits.admit(32.0) is None


def test_a_request_too_many_at_a_time_waits_for_the_mean_of_those_that_ended() -> None:
    limits = limiter(max_concurrent=2)
    assert [limits.admit(0.0) for _ in range(2)] == [None, None]
    first = limits.admit(0.0)
    assert first is not None
    assert (first.kind, first.retry_after_s) == (LimitKind.CONCURRENCY, 0.5)
    limits.end(8.0, tokens=0, duration_s=8.0)
    assert limits.admit(8.0) is None
    again = limits.admit(8.0)
    assert again is not None
    assert again.retry_after_s == 4.0


def test_a_refusal_takes_nothing_and_tells_the_longest_wait() -> None:
    limits = limiter(max_concurrent=1, requests_per_min=2)
    assert limits.admit(0.0) is None
    before = limits.standings(0.0)
    assert limits.admit(0.0) is not None
    assert limits.standings(0.0) == before
    limits.end(0.0, tokens=5, duration_s=1.0)
    assert limits.admit(0.0) is None
    refusal = limits.admit(0.0)  # at a time: 1 s; a minute: 30 s
    assert refusal is not None
    assert (refusal.kind, refusal.retry_after_s) == (LimitKind.REQUESTS, 30.0)


def test_what_has_no_limit_is_not_told_of() -> None:
    assert [each.kind for each in limiter(requests_per_min=1, tokens_per_min=1).standings(0.0)] == [
        LimitKind.REQUESTS,
        LimitKind.TOKENS,
    ]
    assert limiter(max_concurrent=1).standings(0.0) == []


def test_a_bucket_holds_no_more_than_a_minute_allows() -> None:
    bucket = Bucket(10, 0.0)
    assert bucket.level(1_000_000.0) == 10
    bucket.take(4, 1_000_000.0)
    assert bucket.level(1_000_000.0) == 6
    assert bucket.wait_s(10, 1_000_000.0) == 24.0
