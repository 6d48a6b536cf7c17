"""A spawned engine over its socket, on the scripted runner: the life of requests and of the process."""

import os
import signal
from pathlib import Path

import msgspec
import psutil
import pytest

from gateway import wire
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.engine.scripted_runner import EXIT_FAULT_STATUS
from tests.support.engine_client import SCRIPTED, WAIT_S, EngineClient, engine_spec, submit

TUTOR = engine_spec(SCRIPTED / "tutor")
FAULTY = engine_spec(SCRIPTED / "faulty")


def _model(tmp_path: Path, script: str) -> EngineClient:
    (tmp_path / "scripted.toml").write_text(script)
    return EngineClient(engine_spec(tmp_path))


def test_requests_are_answered_together_and_each_with_its_own_text() -> None:
    with EngineClient(TUTOR) as engine:
        ready = engine.ready()
        assert (ready.device, ready.context_length) == ("scripted", TUTOR.context_length)
        engine.send(submit("a", "the capital of France?"), submit("b", "all languages"), submit("c", "else"))
        answers = engine.answers("a", "b", "c")
        assert answers["a"].text == "The capital of France is Paris."
        assert answers["b"].text == "Grüße, 日本語, 🙂!"
        assert answers["c"].text == "I do not know."
        assert answers["c"].completion_tokens == len("I do not know.") + 1


def test_a_stop_string_and_a_limit_end_a_request() -> None:
    with EngineClient(TUTOR) as engine:
        engine.ready()
        stopped = engine.ask(submit("a", "count", stop=(" four",)))
        cut = engine.ask(submit("b", "count", max_completion_tokens=7))
        assert stopped.text == "one two three"
        assert cut.text == "one two"
        assert [answer.last.finish_reason for answer in (stopped, cut) if isinstance(answer.last, wire.TokenDelta)] == [
            FinishReason.STOP,
            FinishReason.LENGTH,
        ]


def test_a_cancelled_request_gives_at_most_the_step_that_was_running() -> None:
    with EngineClient(TUTOR) as engine:
        engine.ready()
        engine.send(submit("a", "slowly"))
        engine.step_until("delta")
        engine.send(wire.Cancel(request_id="a"))
        steps: list[wire.Step] = []
        while not steps or steps[-1].rows:
            message = engine.receive()
            assert isinstance(message, wire.Step)
            steps.append(message)
        assert len(steps) <= 3
        assert steps[-1].deltas == ()
        assert engine.ask(submit("a", "count", max_completion_tokens=3)).text == "one"


def test_a_request_beyond_the_context_is_rejected_and_serving_goes_on() -> None:
    with EngineClient(engine_spec(SCRIPTED / "tutor", context_length=50)) as engine:
        engine.ready()
        rejected = engine.ask(submit("a", "x" * 50)).last
        assert isinstance(rejected, wire.Rejected)
        assert rejected.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED
        assert engine.ask(submit("b", "hi", max_completion_tokens=4)).text == "I do"


def test_an_error_in_a_step_faults_what_runs_and_serving_goes_on() -> None:
    with EngineClient(FAULTY) as engine:
        engine.ready()
        engine.send(submit("a", "RAISE"), submit("b", "hello"))
        answers = engine.answers("a", "b")
        assert isinstance(answers["a"].last, wire.Fault)
        assert engine.ask(submit("c", "hello")).text == "All is well."


@pytest.mark.parametrize(("prompt", "status"), [("EXIT", EXIT_FAULT_STATUS), ("KILL", -signal.SIGKILL)])
def test_a_crash_ends_the_stream_and_the_process(prompt: str, status: int) -> None:
    with EngineClient(FAULTY) as engine:
        engine.ready()
        engine.send(submit("a", prompt))
        with pytest.raises(EOFError):
            engine.answers("a")
        assert engine.process.wait(WAIT_S) == status


def test_a_hanging_step_still_lets_the_parents_end_end_the_process() -> None:
    with EngineClient(FAULTY) as engine:
        engine.ready()
        engine.send(submit("a", "HANG"))
        engine.step_until("delta")
        engine.connection.close()
        assert engine.process.wait(WAIT_S) == 0


def test_the_process_ends_with_its_parents_end_of_the_socket_while_it_loads(tmp_path: Path) -> None:
    with _model(tmp_path, "load_delay_s = 3600.0") as engine:
        engine.connection.close()
        assert engine.process.wait(WAIT_S) == 0


def test_stop_ends_the_process_while_a_request_runs() -> None:
    with EngineClient(TUTOR) as engine:
        engine.ready()
        engine.send(submit("a", "slowly"))
        engine.step_until("delta")
        engine.send(wire.Stop())
        assert engine.process.wait(WAIT_S) == 0


def test_an_interrupt_from_the_terminal_is_the_parents_business() -> None:
    with EngineClient(TUTOR) as engine:
        engine.ready()
        os.kill(engine.process.pid, signal.SIGINT)
        assert engine.ask(submit("a", "hello")).text == "I do not know."


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('load_failure = "weights.bin is broken; copy it again."', "weights.bin is broken; copy it again."),
        ("stepdelay = 1", "stepdelay"),
        ("= broken", "scripted.toml is not a script"),
        ('[[answers]]\nmatch = "("\ntext = ""', "no regular expression"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_sentence_and_status_1(tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "scripted.toml").write_text(script)
    with EngineClient(msgspec.structs.replace(TUTOR, path=str(tmp_path))) as engine:
        message = engine.receive()
        assert isinstance(message, wire.LoadFailed)
        assert said in message.message
        assert "\n" not in message.message
        assert engine.process.wait(WAIT_S) == 1


def test_nothing_of_a_prompt_or_an_answer_reaches_stderr() -> None:
    with EngineClient(FAULTY) as engine:
        engine.ready()
        engine.send(submit("a", "RAISE sesame"))
        engine.answers("a")
        engine.send(wire.Stop())
        engine.process.wait(WAIT_S)
        assert engine.process.stderr
        written = engine.process.stderr.read()
        assert "ScriptedError" in written
        assert "sesame" not in written
        assert "well" not in written


def test_a_frame_that_is_none_of_ours_ends_the_process() -> None:
    with EngineClient(TUTOR) as engine:
        engine.ready()
        engine.connection.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(EOFError):
            engine.receive()
        assert engine.process.wait(WAIT_S) != 0


def test_an_engine_that_waits_uses_no_processor_time() -> None:
    with EngineClient(TUTOR) as engine:
        engine.ready()
        engine.ask(submit("a", "hello"))
        before = psutil.Process(engine.process.pid).cpu_times()
        engine.connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            engine.step_until("delta")
        after = psutil.Process(engine.process.pid).cpu_times()
        assert after.user + after.system - before.user - before.system < 0.1
