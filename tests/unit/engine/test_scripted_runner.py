import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.contracts.chat import FinishReason
from gateway.contracts.scripted import FaultKind, ScriptedAnswer, ScriptedFault, ScriptedModel, read_script
from gateway.engine.runner import RowSpec
from gateway.engine.scripted_runner import ScriptedError, ScriptedRunner
from gateway.engine.scripted_tokenizer import END, ScriptedTokenizer
from gateway.wire import Sampling, WireMessage

MODEL = ScriptedModel(
    answers=(
        ScriptedAnswer(match="(?i)france", text="Paris"),
        ScriptedAnswer(match="late", text="x", step_delay_s=3.0),
    ),
    default_text="no",
    faults=(ScriptedFault(match="RAISE", kind=FaultKind.RAISE, at_token=2),),
    step_delay_s=0.5,
    weights_bytes=1000,
    kv_bytes_per_token=10,
)


def _spec(row: int, text: str, max_tokens: int = 100) -> RowSpec:
    prompt = tuple(ScriptedTokenizer().encode_chat([WireMessage("user", text)], {}))
    return RowSpec(row=row, prompt=prompt, max_tokens=max_tokens, sampling=Sampling())


def _runner(sleep: Callable[[float], None] = lambda _: None) -> ScriptedRunner:
    return ScriptedRunner(MODEL, sleep=sleep)


def test_each_step_gives_each_row_one_token_until_its_end() -> None:
    runner = _runner()
    runner.insert(_spec(1, "FRANCE?"))
    runner.insert(_spec(2, "anything else"))
    steps = [runner.step() for _ in range(6)]
    assert [token.token for step in steps for token in step if token.row == 1] == [*b"Paris", END]
    assert [token.token for step in steps for token in step if token.row == 2] == [*b"no", END]
    assert steps[-1][0].finish_reason is FinishReason.STOP
    assert runner.step() == []


def test_a_row_ends_with_length_at_its_limit() -> None:
    runner = _runner()
    runner.insert(_spec(1, "france", max_tokens=2))
    assert [step.finish_reason for _ in range(2) for step in runner.step()] == [None, FinishReason.LENGTH]
    assert runner.step() == []


def test_the_end_of_sequence_wins_over_the_limit_at_the_same_token() -> None:
    runner = _runner()
    runner.insert(_spec(1, "else", max_tokens=3))
    assert [step.finish_reason for _ in range(3) for step in runner.step()] == [None, None, FinishReason.STOP]


def test_a_removed_row_gives_nothing_more() -> None:
    runner = _runner()
    runner.insert(_spec(1, "france"))
    runner.step()
    runner.remove(1)
    runner.remove(7)
    assert runner.step() == []


def test_a_step_takes_the_models_delay_and_the_longest_of_its_answers() -> None:
    slept: list[float] = []
    runner = _runner(slept.append)
    runner.insert(_spec(1, "france"))
    runner.step()
    runner.insert(_spec(2, "late"))
    runner.step()
    assert slept == [0.5, 3.5]


def test_a_raising_fault_comes_at_its_token() -> None:
    runner = _runner()
    runner.insert(_spec(1, "RAISE"))
    assert len(runner.step()) == 1
    with pytest.raises(ScriptedError):
        runner.step()


def test_memory_is_what_the_script_declares_for_the_tokens_that_are_held() -> None:
    runner = _runner()
    assert runner.memory().active_bytes == 1000
    runner.insert(_spec(1, "france"))
    assert runner.memory().active_bytes == 1000 + 10 * len("<france>")
    runner.step()
    assert runner.memory().active_bytes == 1000 + 10 * (len("<france>") + 1)


def test_what_a_prompt_shares_with_an_earlier_row_counts_as_cached() -> None:
    runner = _runner()

    def cached_tokens(row: int, text: str, *, prefix_cache: bool = True) -> int:
        runner.insert(msgspec.structs.replace(_spec(row, text), prefix_cache=prefix_cache))
        tokens = [token for _ in range(10) for token in runner.step()]
        return tokens[0].cached_tokens

    assert cached_tokens(1, "What is the capital of x?", prefix_cache=False) == 0
    assert cached_tokens(2, "What is the capital of x?") == 0
    assert cached_tokens(3, "What is the capital of y?") == len("<What is the capital of ")
    assert cached_tokens(4, "What is the capital of z?", prefix_cache=False) == 0
    assert cached_tokens(5, "What?") == 0
    assert (runner.prefix_counts().hits, runner.prefix_counts().misses) == (1, 2)


def test_a_pattern_that_is_none_is_found_before_the_first_request() -> None:
    with pytest.raises(re.error):
        ScriptedRunner(ScriptedModel(answers=(ScriptedAnswer(match="(", text=""),)))


def test_an_unknown_key_in_a_script_is_named(tmp_path: Path) -> None:
    (tmp_path / "scripted.toml").write_text("stepdelay = 1")
    with pytest.raises(msgspec.ValidationError, match="stepdelay"):
        read_script(tmp_path)
