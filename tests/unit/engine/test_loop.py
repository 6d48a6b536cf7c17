import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from gateway.contracts.chat import FinishReason
from gateway.contracts.scoring import PositionScore
from gateway.contracts.scripted import FaultKind, ScriptedAnswer, ScriptedFault, ScriptedModel
from gateway.engine.handoff import Event, Inbox, Outbox, Remove, RowsFaulted, ScoreAdvanced, Stepped, StopLoop
from gateway.engine.loop import Loop
from gateway.engine.runner import RowsError, RowSpec, RowToken, ScoreSpec
from gateway.engine.scripted_runner import ScriptedRunner
from gateway.engine.scripted_tokenizer import END, ScriptedTokenizer
from gateway.wire import Sampling, WireMessage

WAIT_S = 10.0
MODEL = ScriptedModel(
    answers=(ScriptedAnswer(match="endless", text="x" * 1_000_000),),
    default_text="ok",
    faults=(ScriptedFault(match="RAISE", kind=FaultKind.RAISE, at_token=2),),
)


class RunningLoop:
    """A Loop on its own thread; the test stands where the text thread does."""

    def __init__(self, kind: Callable[[ScriptedModel], ScriptedRunner] = ScriptedRunner) -> None:
        self.inbox, self._outbox = Inbox(), Outbox()
        self._kind = kind
        self.runners: list[ScriptedRunner] = []
        loop = Loop(self._make_runner, self.inbox, self._outbox, scorer=self._score)
        self.thread = threading.Thread(target=loop.run)
        self.thread.start()

    def _make_runner(self) -> ScriptedRunner:
        self.runners.append(self._kind(MODEL))
        return self.runners[-1]

    @staticmethod
    def _score(spec: ScoreSpec) -> Iterator[tuple[PositionScore, ...]]:
        """Give nothing, in as many chunks as there are tokens."""
        return (() for _ in spec.tokens)

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
    return RowSpec(row=row, prompt=prompt, max_tokens=10_000_000, sampling=Sampling())


def test_a_row_decodes_to_its_end_and_is_not_held_after_it(loop: RunningLoop) -> None:
    loop.inbox.put(_spec(1, "hello"))
    steps = [event for event in loop.events_until() if isinstance(event, Stepped)]
    tokens = [token for step in steps for token in step.tokens]
    assert [token.token for token in tokens] == [*b"ok", END]
    assert tokens[-1].finish_reason is FinishReason.STOP
    assert [step.rows for step in steps] == [1, 1, 0]


def test_an_idle_loop_waits_for_the_rest_of_a_crowd(loop: RunningLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine.loop._CROWD_S", WAIT_S)
    asked, crowd = threading.Event(), [_spec(2, "hello"), _spec(3, "hello")]

    def expects() -> bool:
        asked.set()
        return bool(crowd)

    loop.inbox.expects = expects
    loop.inbox.put(_spec(1, "hello"))
    assert asked.wait(WAIT_S)
    while crowd:
        loop.inbox.put(crowd.pop())
    (first, *_) = loop.events_until()
    assert isinstance(first, Stepped)
    assert {token.row for token in first.tokens} == {1, 2, 3}


def test_a_crowd_that_does_not_come_is_not_waited_for_long(loop: RunningLoop) -> None:
    loop.inbox.expects = lambda: True
    loop.inbox.put(_spec(1, "hello"))
    last = loop.events_until()[-1]
    assert isinstance(last, Stepped)
    assert last.rows == 0


def test_a_loop_that_holds_rows_waits_for_nobody(loop: RunningLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine.loop._CROWD_S", 1000 * WAIT_S)
    loop.inbox.put(_spec(1, "endless"))
    loop.events_until(idle=False)
    loop.inbox.expects = lambda: True
    loop.inbox.put(_spec(2, "hello"))
    loop.inbox.put(Remove(1))
    while not any(isinstance(event, Stepped) and event.rows == 0 for event in loop.events_until(idle=False)):
        pass


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


def test_a_long_score_takes_one_chunk_between_two_steps(loop: RunningLoop) -> None:
    loop.inbox.put(_spec(1, "endless"))
    loop.events_until(idle=False)
    loop.inbox.put(ScoreSpec(row=2, tokens=tuple(range(50)), scored_from=1, top_k=0))
    events: list[Event] = []
    while not any(isinstance(event, ScoreAdvanced) and event.ended for event in events):
        events.extend(loop.events_until(idle=False))
    kinds = [type(event) for event in events]
    first, last = kinds.index(ScoreAdvanced), len(kinds) - kinds[::-1].index(ScoreAdvanced)
    assert kinds[first:last] == [ScoreAdvanced, Stepped] * 50 + [ScoreAdvanced]
    assert all(event.tokens for event in events if isinstance(event, Stepped))


def test_a_score_without_rows_runs_to_its_end_and_a_removed_one_stops(loop: RunningLoop) -> None:
    loop.inbox.put(ScoreSpec(row=1, tokens=(1, 2, 3), scored_from=1, top_k=0))
    loop.inbox.put(ScoreSpec(row=2, tokens=tuple(range(1_000_000)), scored_from=1, top_k=0))
    rows: list[int] = []
    while 2 not in rows:
        rows += [event.row for event in loop.events_until(idle=False) if isinstance(event, ScoreAdvanced)]
    assert rows[:5] == [1, 1, 1, 1, 2]
    loop.inbox.put(Remove(2))
    loop.inbox.put(_spec(3, "hello"))
    ended = False
    while not ended:
        steps = [event for event in loop.events_until(idle=False) if isinstance(event, Stepped)]
        ended = any(token.row == 3 and token.finish_reason for step in steps for token in step.tokens)
    loop.inbox.put(_spec(4, "hello"))
    assert not any(isinstance(event, ScoreAdvanced) for event in loop.events_until())


class OneRowFails(ScriptedRunner):
    """Says of row 2 alone that it failed, once."""

    def step(self) -> Sequence[RowToken]:
        if 2 in self._rows:
            self.remove(2)
            raise RowsError([2]) from ValueError("bad")
        return super().step()


def test_rows_that_failed_alone_are_answered_and_the_others_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    loop = RunningLoop(OneRowFails)
    loop.inbox.put(_spec(1, "hello"))
    loop.inbox.put(_spec(2, "hello"))
    events: list[Event] = []
    while not (events and isinstance(events[-1], Stepped) and not events[-1].rows):
        events += loop.events_until()  # the fault may come alone or with the steps that follow
    loop.stop()
    fault = next(event for event in events if isinstance(event, RowsFaulted))
    assert fault.rows == (2,)
    assert "ValueError" in fault.message
    assert "bad" in capfd.readouterr().err
    tokens = [token for event in events if isinstance(event, Stepped) for token in event.tokens]
    assert [token.token for token in tokens] == [*b"ok", END]
    assert len(loop.runners) == 1


class Untidy(ScriptedRunner):
    """Has three things to tidy up, and is given a row while it is at the first of them."""

    def __init__(self, model: ScriptedModel) -> None:
        super().__init__(model)
        self.left = 3
        self.log: list[str] = []
        self.arrive = threading.Event()
        self.arrived = threading.Event()

    def tidy(self) -> bool:
        if self.left == 3:
            self.arrive.set()
            self.arrived.wait(WAIT_S)
        self.left -= 1
        self.log.append("tidied")
        return self.left > 0

    def insert(self, spec: RowSpec) -> None:
        self.log.append("inserted")
        super().insert(spec)


def test_what_can_wait_is_done_while_no_rows_are_held_and_a_row_comes_before_it() -> None:
    loop = RunningLoop(Untidy)
    runner = loop.runners[0]
    assert isinstance(runner, Untidy)
    runner.arrive.wait(WAIT_S)
    loop.inbox.put(_spec(1, "hello"))
    runner.arrived.set()
    loop.events_until()
    loop.stop()
    assert runner.log[:2] == ["tidied", "inserted"]
