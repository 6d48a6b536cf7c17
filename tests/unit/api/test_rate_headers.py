"""The headers of a key's rates, written as OpenAI writes them."""

import pytest

from gateway.api.rate_headers import rate_headers, written_duration
from gateway.rate_limit import LimitKind, Standing


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0s"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (360.0, "6m0s"),
        (61.5, "1m1.5s"),
        (3605.0, "1h0m5s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, written: str) -> None:
    assert written_duration(seconds) == written


def test_each_rate_has_its_three_headers() -> None:
    standing = Standing(kind=LimitKind.TOKENS, limit=100, remaining=40, reset_s=36.0)
    assert rate_headers([standing]) == [
        (b"x-ratelimit-limit-tokens", b"100"),
        (b"x-ratelimit-remaining-tokens", b"40"),
        (b"x-ratelimit-reset-tokens", b"36s"),
    ]
    assert rate_headers([]) == []
