"""The gaps between an answer's tokens are observed as they come, and their mean at its end."""

import pytest

from gateway.telemetry import token_times
from gateway.telemetry.token_times import TokenTimes


class Kept:
    def __init__(self) -> None:
        self.values: list[float] = []

    def observe(self, value: float, /) -> None:
        self.values.append(value)


class Answer:
    """Times an answer on a clock that stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(token_times.time, "perf_counter", lambda: self.now_s)
        self.gaps, self.per_token = Kept(), Kept()
        self.times = TokenTimes(self.gaps, self.per_token)

    def came(self, tokens: int, *, after_s: float) -> None:
        self.now_s += after_s
        self.times.came(tokens)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    return Answer(monkeypatch)


def test_the_first_token_has_no_gap_before_it(answer: Answer) -> None:
    answer.came(1, after_s=5.0)
    answer.times.ended()
    assert (answer.gaps.values, answer.per_token.values) == ([], [])


def test_a_message_without_a_token_ends_no_gap(answer: Answer) -> None:
    for tokens in (0, 1, 1, 2):
        answer.came(tokens, after_s=1.0)
    answer.times.ended()
    assert (answer.gaps.values, answer.per_token.values) == ([2.0], [2.0])


def test_a_message_of_several_tokens_is_one_gap_and_several_tokens(answer: Answer) -> None:
    answer.came(2, after_s=1.0)
    answer.came(6, after_s=2.0)
    answer.times.ended()
    assert (answer.gaps.values, answer.per_token.values) == ([2.0], [0.5])


def test_an_answer_that_begins_anew_forgets_its_first_beginning(answer: Answer) -> None:
    answer.came(1, after_s=1.0)
    answer.came(2, after_s=1.0)
    answer.times.restart()
    answer.came(1, after_s=60.0)
    answer.came(2, after_s=3.0)
    answer.times.ended()
    assert (answer.gaps.values, answer.per_token.values) == ([1.0, 3.0], [3.0])
