import pytest

from gateway.contracts.error_codes import ErrorCode
from gateway.engine.window import Refusal, completion_tokens_allowed


def _allowed(prompt_tokens: int, asked: int | None, completion_limit: int | None = None) -> int:
    return completion_tokens_allowed(
        prompt_tokens=prompt_tokens, asked=asked, completion_limit=completion_limit, context_length=100
    )


def test_what_is_asked_is_given_where_it_fits() -> None:
    assert _allowed(60, 40) == 40


def test_a_request_that_asks_for_nothing_gets_the_rest_of_the_window() -> None:
    assert _allowed(60, None) == 40


def test_the_rest_of_the_window_is_capped_by_the_limit() -> None:
    assert _allowed(60, None, completion_limit=10) == 10
    assert _allowed(95, None, completion_limit=10) == 5


def test_one_token_beyond_the_window_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(Refusal) as caught:
        _allowed(61, 40)
    assert caught.value.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED
    assert caught.value.param == "messages"
    assert "maximum context length is 100 tokens" in caught.value.message
    assert "101 tokens (61 in the messages, 40 in the completion)" in caught.value.message


def test_a_prompt_that_fills_the_window_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        _allowed(100, None)
    assert caught.value.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED


@pytest.mark.parametrize("asked", [-1, 0, 101])
def test_a_completion_that_can_never_fit_is_the_parameters_fault(asked: int) -> None:
    with pytest.raises(Refusal) as caught:
        _allowed(10, asked)
    assert caught.value.code is ErrorCode.INVALID_VALUE
    assert caught.value.param == "max_completion_tokens"
    assert str(asked) in caught.value.message


def test_nothing_may_be_asked_for_where_the_least_is_nothing_and_then_the_prompt_may_fill_the_window() -> None:
    def allowed(prompt_tokens: int) -> int:
        return completion_tokens_allowed(
            prompt_tokens=prompt_tokens,
            asked=0,
            completion_limit=None,
            context_length=100,
            least=0,
            prompt_param="prompt",
        )

    assert allowed(100) == 0
    with pytest.raises(Refusal, match="101 tokens") as caught:
        allowed(101)
    assert caught.value.param == "prompt"


def test_more_than_the_limit_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        _allowed(10, 11, completion_limit=10)
    assert caught.value.param == "max_completion_tokens"
