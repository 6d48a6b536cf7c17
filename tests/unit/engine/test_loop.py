import threading
from collections.abc import Iterator

import pytest

from gateway.contracts.chat import FinishReason
from gateway.contracts.scripted import FaultKind, ScriptedAnswer, ScriptedFault, ScriptedModel
from gateway.engine.handoff import Event, Inbox, Outbox, Remove, RowsFaulted, Stepped, StopLoop
from gateway.engine.loop import Loop
from gateway.engine.runner import RowSpec
from gateway.engine.scripted_runner import ScriptedRunner
from gateway.engine.scripted_tokenizer import END, ScriptedTokenizer
from gateway.wire import WireMessage

WAIT_S = 10.0
MODEL = ScriptedModel(
    answers=(ScriptedAnswer(match="endless", text="x" * 1_000_000),),
    default_text="ok",
    faults=(ScriptedFault(match="RAISE", kind=FaultKind.RAISE, at_token=2),),
)


class RunningLoop:
    """A Loop on its own thread; the test stands where the text thread does."""

    def __init__(self) -> None:
        self.inbox, self._outbox = Inbox(), Outbox()
        self.runners: list[ScriptedRunner] = []
        loop = Loop(self._make_runner, self.inbox, self._outbox)
        self.thread = threading.Thread(target=loop.run)
        self.thread.start()

    def _make_runner(self) -> ScriptedRunner:
        self.runners.append(ScriptedRunner(MODEL))
        return self.runners[-1]

    def events_until(self, *, idle: bool = True) -> list[Event]:
        """Return what the loop emits up to the first event that leaves no rows (or, not `idle`, any event)."""
        events: list[Event] = []
        while not events or (idle and isinstance(events[-1], Stepped) and events[-1].rows):
            events.extend(self._outbox.take())
        return events

    def stop(self) -> None:
        self.inbox.put(StopLoop())
        self.thread.join(WAIT_S)


@pytest.fixture
def loop() -> Iterator[RunningLoop]:
    running = RunningLoop()
    yield running
    running.stop()


def _spec(row: int, text: str) -> RowSpec:
    prompt = tuple(ScriptedTokenizer().encode_chat([WireMessage("user", text)], {}))
    return RowSpec(row=row, prompt=prompt, max_tokens=10_000_000, temperature=0.0, top_p=1.0, seed=None)


def test_a_row_decodes_to_its_end_and_is_not_held_after_it(loop: RunningLoop) -> None:
    loop.inbox.put(_spec(1, "hello"))
    steps = [event for event in loop.events_until() if isinstance(event, Stepped)]
    tokens = [token for step in steps for token in step.tokens]
    assert [token.token for token in tokens] == [*b"ok", END]
    assert tokens[-1].finish_reason is FinishReason.STOP
    assert [step.rows for step in steps] == [1, 1, 0]


def test_a_removed_row_is_out_after_the_next_step(loop: RunningLoop) -> None:
    loop.inbox.put(_spec(1, "endless"))
    loop.events_until(idle=False)
    loop.inbox.put(Remove(1))
    last = loop.events_until()[-1]
    assert isinstance(last, Stepped)
    assert (last.tokens, last.rows) == ((), 0)


def test_an_error_in_a_step_faults_every_row_and_the_next_request_is_served(
    loop: RunningLoop, capfd: pytest.CaptureFixture[str]
) -> None:
    loop.inbox.put(_spec(1, "endless"))
    loop.inbox.put(_spec(2, "RAISE"))
    fault = next(event for event in loop.events_until() if isinstance(event, RowsFaulted))
    assert fault.rows == (1, 2)
    assert "ScriptedError" in fault.message
    assert "ScriptedError" in capfd.readouterr().err
    assert len(loop.runners) == 2

    loop.inbox.put(_spec(3, "hello"))
    last = loop.events_until()[-1]
    assert isinstance(last, Stepped)
    assert last.tokens[0].row == 3


def test_the_loop_returns_when_told_to_stop_while_rows_are_held(loop: RunningLoop) -> None:
    loop.inbox.put(_spec(1, "endless"))
    loop.events_until(idle=False)
    loop.stop()
    assert not loop.thread.is_alive()
