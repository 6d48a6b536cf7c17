"""The text thread over a real socket pair; the test stands where the parent and where the loop do."""

import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from gateway import wire
from gateway.contracts.admin import EngineMemory
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.files import FileState
from gateway.contracts.scoring import PositionScore, TopToken
from gateway.engine.handoff import (
    Command,
    Inbox,
    Loaded,
    LoadEnded,
    Outbox,
    Remove,
    RowsFaulted,
    ScoreAdvanced,
    Stepped,
    StopLoop,
)
from gateway.engine.runner import RowSpec, RowToken, ScoreSpec
from gateway.engine.scripted_tokenizer import END, ScriptedTokenizer, last_user_text
from gateway.engine.text import TextThread
from tests.support.engine_client import SCRIPTED, engine_spec, submit

WAIT_S = 10.0
READY = wire.Ready(
    device="scripted",
    dequantised=False,
    load_time_s=0.0,
    active_after_load_bytes=0,
    context_length=100,
    recommended_working_set_bytes=None,
    chip="scripted",
)
IDENTITY = wire.Identity(
    spec=engine_spec(SCRIPTED / "tutor"),
    files=(FileState(path="scripted.toml", size_bytes=1, mtime_ns=2, inode=3),),
)


class SlowTokenizer(ScriptedTokenizer):
    """Takes its time with a prompt that has a certain word: until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()
        self.goes_on = threading.Event()

    def encode_chat(self, messages: Sequence[wire.WireMessage], *arguments: Any, **options: Any) -> list[int]:
        if any("long" in message.content for message in messages):
            self.reads.set()
            assert self.goes_on.wait(WAIT_S)
        return super().encode_chat(messages, *arguments, **options)


class Bench:
    def __init__(self) -> None:
        self.parent, ours = socket.socketpair()
        self.parent.settimeout(WAIT_S)
        self.inbox, self.outbox = Inbox(), Outbox()
        self.hung_up = threading.Event()
        self.thread = threading.Thread(
            target=TextThread(ours, self.inbox, self.outbox, hang_up=self.hung_up.set).run, daemon=True
        )
        self.thread.start()
        self._ours = ours
        self._buffer = bytearray()
        self._messages: list[wire.FromEngine] = []

    def close(self) -> None:
        self.parent.close()
        self.thread.join(WAIT_S)
        self._ours.close()

    def send(self, message: wire.ToEngine) -> None:
        self.parent.sendall(wire.encode_frame(message))

    def receive(self) -> wire.FromEngine:
        while not self._messages:
            received = self.parent.recv(65536)
            assert received, "the text thread hung up"
            self._buffer += received
            self._messages.extend(wire.decode_from_engine(body) for body in wire.take_frames(self._buffer))
        return self._messages.pop(0)

    def load(self, tokenizer: ScriptedTokenizer | None = None) -> None:
        self.outbox.put(Loaded(tokenizer or ScriptedTokenizer(), READY, IDENTITY))
        assert self.receive() == READY

    def command(self) -> Command:
        (command,) = self.inbox.take(wait_s=None)
        return command

    def accept(self, request: wire.Submit) -> RowSpec:
        self.send(request)
        return self.start(request.request_id)

    def start(self, request_id: str) -> RowSpec:
        accepted = self.accepted()
        self.send(wire.Start(request_id=request_id, max_tokens=accepted.max_tokens))
        spec = self.command()
        assert isinstance(spec, RowSpec)
        assert (accepted.prompt_tokens, accepted.max_tokens) == (len(spec.prompt), spec.max_tokens)
        return spec

    def park(self, request: wire.Submit) -> wire.Accepted:
        self.send(request)
        return self.accepted()

    def accepted(self) -> wire.Accepted:
        accepted = self.receive()
        assert isinstance(accepted, wire.Accepted)
        assert self.inbox.take(wait_s=0) == []
        return accepted

    def reject(self, request: wire.Submit) -> wire.Rejected:
        self.send(request)
        rejected = self.receive()
        assert isinstance(rejected, wire.Rejected)
        assert self.inbox.take(wait_s=0) == []
        return rejected

    def step(self, *tokens: RowToken, rows: int = 1) -> wire.Step:
        self.outbox.put(Stepped(tokens, rows, EngineMemory(active_bytes=7)))
        step = self.receive()
        assert isinstance(step, wire.Step)
        return step


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def loaded(bench: Bench) -> Bench:
    bench.load()
    return bench


def test_what_is_loaded_is_told_to_whoever_asks_and_nothing_before_it_is(bench: Bench) -> None:
    bench.send(wire.Identify())
    bench.load()
    bench.send(wire.Identify())
    assert bench.receive() == IDENTITY


def test_a_step_carries_every_rows_tokens_in_one_message(loaded: Bench) -> None:
    first, second = loaded.accept(submit("a", "one")), loaded.accept(submit("b", "two"))
    step = loaded.step(RowToken(first.row, ord("x"), None), RowToken(second.row, END, FinishReason.STOP), rows=1)
    assert step.deltas == (
        wire.TokenDelta(request_id="a", text="x", completion_tokens=1, finish_reason=None),
        wire.TokenDelta(request_id="b", text="", completion_tokens=1, finish_reason=FinishReason.STOP),
    )
    assert (step.rows, step.memory.active_bytes) == (1, 7)


def test_the_row_gets_what_the_request_says_and_the_rest_of_the_window(loaded: Bench) -> None:
    spec = loaded.accept(submit("a", "hello", sampling=wire.Sampling(temperature=0.5, seed=3)))
    assert last_user_text(spec.prompt) == "hello"
    assert spec.sampling == wire.Sampling(temperature=0.5, seed=3)
    assert spec.max_tokens == 100 - len(spec.prompt)


def test_a_start_may_lower_what_is_generated_and_never_raises_it(loaded: Bench) -> None:
    accepted = loaded.park(submit("a", "hello", max_completion_tokens=9))
    loaded.park(submit("b", "hello", max_completion_tokens=9))
    assert accepted.max_tokens == 9
    limits: list[int] = []
    for request_id, max_tokens in (("b", 4), ("a", 99)):
        loaded.send(wire.Start(request_id=request_id, max_tokens=max_tokens))
        spec = loaded.command()
        assert isinstance(spec, RowSpec)
        limits.append(spec.max_tokens)
    assert limits == [4, 9]


def test_a_request_that_is_cancelled_before_its_start_is_forgotten(loaded: Bench) -> None:
    loaded.park(submit("a", "hello"))
    loaded.send(wire.Cancel(request_id="a"))
    loaded.send(wire.Start(request_id="a", max_tokens=9))
    loaded.accept(submit("b", "hello"))  # the only command there is


def test_a_second_start_is_ignored(loaded: Bench) -> None:
    loaded.accept(submit("a", "hello"))
    loaded.send(wire.Start(request_id="a", max_tokens=9))
    loaded.accept(submit("b", "hello"))


def test_streams_go_on_while_a_long_prompt_is_read(bench: Bench) -> None:
    tokenizer = SlowTokenizer()
    bench.load(tokenizer)
    row = bench.accept(submit("a", "one")).row
    bench.send(submit("b", "a long one"))
    assert tokenizer.reads.wait(WAIT_S)
    assert [delta.text for delta in bench.step(RowToken(row, ord("x"), None)).deltas] == ["x"]
    tokenizer.goes_on.set()
    accepted = bench.receive()
    assert isinstance(accepted, wire.Accepted)
    assert accepted.request_id == "b"


def test_what_is_cancelled_while_it_is_read_is_not_answered_nor_confused_with_who_has_its_name_next(
    bench: Bench,
) -> None:
    tokenizer = SlowTokenizer()
    bench.load(tokenizer)
    bench.send(submit("a", "a long one"))
    assert tokenizer.reads.wait(WAIT_S)
    bench.send(wire.Cancel(request_id="a"))
    bench.send(submit("a", "hi"))
    bench.send(wire.Identify())
    assert bench.receive() == IDENTITY  # so both were heard
    tokenizer.goes_on.set()
    assert last_user_text(bench.start("a").prompt) == "hi"


def test_a_stop_string_ends_the_request_and_frees_its_row(loaded: Bench) -> None:
    spec = loaded.accept(submit("a", "hello", stop=("lo",)))
    texts = [loaded.step(RowToken(spec.row, byte, None)).deltas[0] for byte in b"hello"]
    assert "".join(delta.text for delta in texts) == "hel"
    assert texts[-1].finish_reason is FinishReason.STOP
    assert loaded.command() == Remove(spec.row)
    assert loaded.step(RowToken(spec.row, ord("!"), None)).deltas == ()


def test_a_cancelled_request_is_removed_and_nothing_is_answered(loaded: Bench) -> None:
    spec = loaded.accept(submit("a", "hello"))
    loaded.send(wire.Cancel(request_id="a"))
    assert loaded.command() == Remove(spec.row)
    assert loaded.step(RowToken(spec.row, ord("!"), None)).deltas == ()


def test_a_request_under_a_cancelled_ones_name_gets_none_of_its_tokens(loaded: Bench) -> None:
    cancelled = loaded.accept(submit("a", "hello"))
    loaded.send(wire.Cancel(request_id="a"))
    loaded.command()
    again = loaded.accept(submit("a", "hello"))
    step = loaded.step(RowToken(cancelled.row, ord("o"), None), RowToken(again.row, ord("n"), None))
    assert [delta.text for delta in step.deltas] == ["n"]


def test_an_unknown_request_is_cancelled_without_effect(loaded: Bench) -> None:
    loaded.send(wire.Cancel(request_id="nobody"))
    loaded.accept(submit("a", "hello"))


def test_a_fault_answers_each_row_after_the_tokens_it_had(loaded: Bench) -> None:
    spec = loaded.accept(submit("a", "hello"))
    loaded.outbox.put(Stepped((RowToken(spec.row, ord("x"), None),), 1, EngineMemory()))
    loaded.outbox.put(RowsFaulted((spec.row, 99), "broken"))
    step = loaded.receive()
    assert isinstance(step, wire.Step)
    assert step.deltas[0].text == "x"
    assert loaded.receive() == wire.Fault(request_id="a", message="broken")


def test_steps_merge_while_the_parent_does_not_read(loaded: Bench) -> None:
    spec = loaded.accept(submit("a", "hello", max_completion_tokens=80))
    loaded.parent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    count = 20_000
    for _ in range(count):
        loaded.outbox.put(Stepped((RowToken(spec.row, ord("x"), None),), 1, EngineMemory()))
    loaded.outbox.put(Stepped((RowToken(spec.row, END, FinishReason.STOP),), 0, EngineMemory()))
    text, frames, steps, finished = "", 0, 0, False
    while not finished:
        step = loaded.receive()
        assert isinstance(step, wire.Step)
        frames += 1
        steps += step.steps
        text += "".join(delta.text for delta in step.deltas)
        finished = any(delta.finish_reason for delta in step.deltas)
    assert text == "x" * count
    assert frames < count / 10
    assert steps == count + 1


@pytest.mark.parametrize(
    ("overrides", "code", "param"),
    [
        ({"max_completion_tokens": 95}, ErrorCode.CONTEXT_LENGTH_EXCEEDED, "messages"),
        ({"max_completion_tokens": 101}, ErrorCode.INVALID_VALUE, "max_completion_tokens"),
        ({"messages": (wire.WireMessage("user", "x" * 100),)}, ErrorCode.CONTEXT_LENGTH_EXCEEDED, "messages"),
        ({"messages": (wire.WireMessage("critic", "x"),)}, ErrorCode.INVALID_VALUE, "messages"),
        ({"stop": ("a", "")}, ErrorCode.INVALID_VALUE, "stop"),
    ],
)
def test_a_request_that_cannot_run_is_rejected_with_its_parameter(
    loaded: Bench, overrides: dict[str, object], code: ErrorCode, param: str
) -> None:
    rejected = loaded.reject(submit("a", "hello", **overrides))
    assert (rejected.code, rejected.param) == (code, param)


def test_a_request_before_the_model_is_loaded_is_rejected(bench: Bench) -> None:
    assert bench.reject(submit("a", "hello")).code is ErrorCode.NOT_READY


def test_a_failed_load_is_told_and_ends_the_thread(bench: Bench) -> None:
    bench.outbox.put(LoadEnded("weights.bin is broken; copy it again."))
    assert bench.receive() == wire.LoadFailed(message="weights.bin is broken; copy it again.")
    bench.thread.join(WAIT_S)
    assert not bench.thread.is_alive()


def test_stop_reaches_the_loop(loaded: Bench) -> None:
    loaded.send(wire.Stop())
    assert loaded.command() == StopLoop()


@pytest.mark.parametrize("fixture", ["bench", "loaded"])
def test_the_parents_end_hangs_up_whether_loaded_or_not(request: pytest.FixtureRequest, fixture: str) -> None:
    bench: Bench = request.getfixturevalue(fixture)
    bench.parent.shutdown(socket.SHUT_WR)
    assert bench.hung_up.wait(WAIT_S)


def test_stop_while_loading_hangs_up_at_once(bench: Bench) -> None:
    bench.send(wire.Stop())
    assert bench.hung_up.wait(WAIT_S)


# --- what an echo adds ---


def _echo(bench: Bench, **fields: object) -> ScoreSpec:
    """Start the completion of `abc` with an echo, and return what is to be scored."""
    chat = submit("a", "", messages=(), echo=True, top_logprobs=1, **fields)
    request = msgspec.structs.replace(chat, prompt="abc")
    accepted = bench.park(request)
    assert accepted.prompt_tokens == len("abc")
    bench.send(wire.Start(request_id="a", max_tokens=accepted.max_tokens))
    spec = bench.command()
    assert isinstance(spec, ScoreSpec)
    assert (spec.tokens, spec.scored_from, spec.top_k) == (tuple(b"abc"), 1, 1)
    return spec


def _scored(spec: ScoreSpec, token: int, *, ended: bool) -> ScoreAdvanced:
    position = PositionScore(token=token, logprob=-1.5, top=(TopToken(token, -1.5),), tail_mass=0.1)
    return ScoreAdvanced(row=spec.row, positions=(position,), ended=ended)


def _echoed(bench: Bench) -> wire.TokenDelta:
    message = bench.receive()
    assert isinstance(message, wire.Echoed)
    return message.delta


def test_an_echo_tells_the_prompt_as_it_is_scored_and_then_the_row_begins(loaded: Bench) -> None:
    spec = _echo(loaded, max_completion_tokens=5)
    loaded.outbox.put(_scored(spec, ord("b"), ended=False))
    first = _echoed(loaded)
    assert (first.text, first.completion_tokens, first.finish_reason) == ("abc", 0, None)
    assert [(entry.token, entry.logprob) for entry in first.logprobs] == [("a", 0.0), ("b", -1.5)]
    assert loaded.inbox.take(wait_s=0) == []
    loaded.outbox.put(_scored(spec, ord("c"), ended=True))
    second = _echoed(loaded)
    assert (second.text, [entry.token for entry in second.logprobs]) == ("", ["c"])
    row = loaded.command()
    assert isinstance(row, RowSpec)
    assert (row.prompt, row.max_tokens) == (tuple(b"abc"), 5)
    assert loaded.step(RowToken(row.row, ord("x"), FinishReason.LENGTH)).deltas[0].text == "x"


def test_an_echo_of_nothing_more_ends_with_its_last_score(loaded: Bench) -> None:
    spec = _echo(loaded, max_completion_tokens=0)
    loaded.outbox.put(_scored(spec, ord("b"), ended=True))
    assert _echoed(loaded).finish_reason is FinishReason.LENGTH
    assert loaded.inbox.take(wait_s=0) == []


def test_an_echo_that_is_cancelled_is_scored_no_further_and_tells_nothing(loaded: Bench) -> None:
    spec = _echo(loaded)
    loaded.send(wire.Cancel(request_id="a"))
    assert loaded.command() == Remove(spec.row)
    loaded.outbox.put(_scored(spec, ord("b"), ended=True))
    loaded.accept(submit("b", "hello"))  # what is received next, and the only command there is


def test_an_echo_that_cannot_be_scored_ends_with_the_fault(loaded: Bench) -> None:
    spec = _echo(loaded)
    loaded.outbox.put(RowsFaulted((spec.row,), "broken"))
    assert loaded.receive() == wire.Fault(request_id="a", message="broken")
    loaded.outbox.put(_scored(spec, ord("b"), ended=True))
    loaded.accept(submit("b", "hello"))


# --- a crowd ---


def test_rows_are_expected_while_requests_are_read_or_wait_for_their_start(bench: Bench) -> None:
    tokenizer = SlowTokenizer()
    bench.load(tokenizer)
    assert not bench.inbox.expects()
    bench.send(submit("a", "long"))
    assert tokenizer.reads.wait(WAIT_S)
    assert bench.inbox.expects()
    tokenizer.goes_on.set()
    accepted = bench.accepted()
    assert bench.inbox.expects()
    bench.send(wire.Start(request_id="a", max_tokens=accepted.max_tokens))
    bench.command()
    assert not bench.inbox.expects()  # so one that comes alone is never kept waiting


def test_who_leaves_before_the_start_is_expected_no_more(loaded: Bench) -> None:
    loaded.park(submit("a", "hello"))
    loaded.send(wire.Cancel(request_id="a"))
    loaded.accept(submit("b", "hello"))
    assert not loaded.inbox.expects()


# --- tokens ---


def test_tokens_are_asked_for_in_vain_while_the_model_loads(bench: Bench) -> None:
    bench.send(wire.Detokenize(request_id="a", tokens=(1,)))
    rejected = bench.receive()
    assert isinstance(rejected, wire.Rejected)
    assert rejected.code is ErrorCode.NOT_READY
