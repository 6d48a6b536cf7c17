from typing import cast

import mlx.core as mx
import pytest

from gateway.engine.penalties import Processor, penalties
from gateway.wire import Sampling

PROMPT = (1, 2)
LOGITS = (4.0, 2.0, -2.0, 0.0)


def _after(sampling: Sampling, *generated: int) -> list[float]:
    """Return the logits that the next token is drawn from, after these tokens."""
    processor = penalties(sampling, PROMPT)
    assert processor is not None
    result = _apply(processor, PROMPT)
    for count in range(len(generated)):
        result = _apply(processor, (*PROMPT, *generated[: count + 1]))
    return result


def _apply(processor: Processor, tokens: tuple[int, ...]) -> list[float]:
    return cast("list[list[float]]", processor(mx.array(tokens), mx.array([LOGITS])).tolist())[0]


def test_a_row_without_penalties_has_no_processor() -> None:
    assert penalties(Sampling(temperature=0.3, top_p=0.5, top_k=3, min_p=0.1, seed=1), PROMPT) is None


def test_presence_counts_what_was_generated_once_and_not_the_prompt() -> None:
    assert _after(Sampling(presence_penalty=1.5)) == [4.0, 2.0, -2.0, 0.0]
    assert _after(Sampling(presence_penalty=1.5), 0, 0, 3) == [2.5, 2.0, -2.0, -1.5]


def test_frequency_counts_each_time() -> None:
    assert _after(Sampling(frequency_penalty=0.5), 0, 0, 3) == [3.0, 2.0, -2.0, -0.5]


def test_negative_penalties_invite_repetition() -> None:
    assert _after(Sampling(presence_penalty=-1.0, frequency_penalty=-0.5), 1) == [4.0, 3.5, -2.0, 0.0]


def test_repetition_counts_the_prompt_and_pushes_both_signs_down() -> None:
    assert _after(Sampling(repetition_penalty=2.0)) == [4.0, 1.0, -4.0, 0.0]
    assert _after(Sampling(repetition_penalty=2.0), 0, 0) == [2.0, 1.0, -4.0, 0.0]


def test_a_bias_is_added_from_the_first_token_on() -> None:
    assert _after(Sampling(logit_bias={3: 100.0, 0: -100.0})) == [-96.0, 2.0, -2.0, 100.0]


def test_together_repetition_comes_first() -> None:
    sampling = Sampling(repetition_penalty=2.0, presence_penalty=1.0, logit_bias={1: 0.5})
    assert _after(sampling, 1) == [4.0, 0.5, -4.0, 0.0]


@pytest.mark.parametrize("sampling", [Sampling(logit_bias={9: 1.0}), Sampling(repetition_penalty=2.0)])
def test_a_token_beyond_the_models_logits_does_not_raise(sampling: Sampling) -> None:
    """A processor that raises would end every row of the batch."""
    processor = penalties(sampling, (1, 999))
    assert processor is not None
    _apply(processor, (1, 999))


def test_the_models_type_of_number_is_kept() -> None:
    processor = penalties(Sampling(presence_penalty=1.0), PROMPT)
    assert processor is not None
    assert processor(mx.array(PROMPT), mx.array([LOGITS], dtype=mx.bfloat16)).dtype == mx.bfloat16
