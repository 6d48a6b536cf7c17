"""The second thread: owns the socket and turns tokens into text, off the MLX thread.

It sleeps in a select over the socket and the wake-up of the other two, the loop and the one that reads prompts. A
parent that reads slowly is not sent more, smaller frames: what happens meanwhile merges into the next Step.
"""

import itertools
import selectors
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec

from gateway import wire
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scoring import PositionScore
from gateway.engine.echo import Echo
from gateway.engine.handoff import (
    Inbox,
    Loaded,
    LoadEnded,
    Outbox,
    Parked,
    Prepared,
    Remove,
    RowsFaulted,
    ScoreAdvanced,
    Stepped,
    StopLoop,
)
from gateway.engine.prompt_thread import PromptThread
from gateway.engine.reply import Reply
from gateway.engine.runner import RowSpec, ScoreSpec
from gateway.engine.score_text import with_text
from gateway.engine.window import Refusal

_READ_BYTES = 1024 * 1024


class TextThread:
    def __init__(self, connection: socket.socket, inbox: Inbox, outbox: Outbox, *, hang_up: Callable[[], None]) -> None:
        """`hang_up` ends the process: called when the parent is gone, or says stop while the model loads."""
        connection.settimeout(0)
        self._connection = connection
        self._inbox = inbox
        inbox.expects = lambda: bool(self._asked or self._parked)
        self._outbox = outbox
        self._hang_up = hang_up
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._loaded: Loaded | None = None
        self._prompts: PromptThread | None = None
        """There from when the model is loaded."""
        self._ended = False
        self._asked: dict[str, wire.Request] = {}
        """Those that are read by the prompt thread, or are to be."""
        self._parked: dict[str, Parked] = {}
        """Accepted, and not started: the parent decides when there is room for them."""
        self._echoes: dict[int, Echo] = {}
        """By the row that scores their prompt."""
        self._replies: dict[int, Reply] = {}
        self._parked_scores: dict[str, ScoreSpec] = {}
        self._scores: dict[int, str] = {}
        """Request by row."""

    def run(self) -> None:
        """Serve until the parent hangs up, or the model could not be loaded and that has been said."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._outbox.wake_fd, selectors.EVENT_READ)
            selector.register(self._connection, selectors.EVENT_READ)
            try:
                while not self._ended or self._outgoing:
                    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
                    selector.modify(self._connection, wanted)
                    selector.select()
                    self._outbox.quiet()
                    if not self._read():
                        self._hang_up()
                        return
                    self._write()
                    if not self._outgoing:
                        self._pump()
                        self._write()
            except ConnectionError:
                self._hang_up()
            finally:
                if self._prompts is not None:
                    self._prompts.end()

    # --- the socket ---

    def _read(self) -> bool:
        """Take what the parent has sent; return whether it is still there."""
        try:
            received = self._connection.recv(_READ_BYTES)
        except BlockingIOError:
            return True
        if not received:
            return False
        self._incoming += received
        for body in wire.take_frames(self._incoming):
            self._handle(wire.decode_to_engine(body))
        return True

    def _write(self) -> None:
        if not self._outgoing:
            return
        try:
            sent = self._connection.send(self._outgoing)
        except BlockingIOError:
            return
        del self._outgoing[:sent]

    def _send(self, message: wire.FromEngine) -> None:
        self._outgoing += wire.encode_frame(message)

    # --- from the parent ---

    def _handle(self, message: wire.ToEngine) -> None:
        match message:
            case wire.Submit() | wire.Score() | wire.Tokenize() | wire.Detokenize():
                self._ask(message)
            case wire.Start():
                self._start(message)
            case wire.Cancel(request_id=request_id):
                self._cancel(request_id)
            case wire.Identify():
                # Before the model is there, nobody asks.
                if self._loaded is not None:
                    self._send(self._loaded.identity)
            case wire.Stop():
                if self._loaded is None:
                    self._hang_up()
                self._inbox.put(StopLoop())
            case _:
                assert_never(message)

    def _ask(self, request: wire.Request) -> None:
        if self._prompts is None:
            self._reject(request, Refusal("The model is still loading.", code=ErrorCode.NOT_READY, param=None))
            return
        self._asked[request.request_id] = request
        self._prompts.put(request)

    def _take_prepared(self, prepared: Prepared) -> None:
        request_id = prepared.request.request_id
        if self._asked.get(request_id) is not prepared.request:  # it was cancelled, and maybe its name is another's
            return
        del self._asked[request_id]
        match prepared.outcome:
            case Parked() as parked:
                self._parked[request_id] = parked
                self._accept(request_id, parked.spec.prompt, parked.spec.max_tokens)
            case ScoreSpec() as score:
                self._parked_scores[request_id] = score
                self._accept(request_id, score.tokens, 0)
            case wire.Tokenized() as tokenized:
                self._send(tokenized)
            case Refusal() as refusal:
                self._reject(prepared.request, refusal)

    def _accept(self, request_id: str, prompt: Sequence[int], max_tokens: int) -> None:
        self._send(wire.Accepted(request_id=request_id, prompt_tokens=len(prompt), max_tokens=max_tokens))

    def _reject(self, request: wire.Request, refusal: Refusal) -> None:
        self._send(
            wire.Rejected(
                request_id=request.request_id, code=refusal.code, message=refusal.message, param=refusal.param
            )
        )

    def _start(self, start: wire.Start) -> None:
        if parked := self._parked.pop(start.request_id, None):
            max_tokens = min(parked.spec.max_tokens, start.max_tokens)
            spec = msgspec.structs.replace(parked.spec, max_tokens=max_tokens)
            if parked.echo is None:
                self._begin(spec, parked.reply)
            else:
                parked.echo.spec = spec
                self._start_echo(parked.echo)
        elif score := self._parked_scores.pop(start.request_id, None):
            self._scores[score.row] = start.request_id
            self._inbox.put(score)

    def _begin(self, spec: RowSpec, reply: Reply) -> None:
        self._replies[spec.row] = reply
        self._inbox.put(spec)

    def _start_echo(self, echo: Echo) -> None:
        if echo.score is None:
            self._tell_echo(echo, (), ended=True)
        else:
            self._echoes[echo.score.row] = echo
            self._inbox.put(echo.score)

    def _tell_echo(self, echo: Echo, positions: Sequence[PositionScore], *, ended: bool) -> None:
        """Tell what is known of the prompt; when that is all, the answer begins."""
        self._send(wire.Echoed(delta=echo.delta(positions, ended=ended)))
        if ended and not echo.ends_answer:
            self._begin(echo.spec, echo.reply)

    def _cancel(self, request_id: str) -> None:
        self._asked.pop(request_id, None)
        self._parked.pop(request_id, None)
        self._parked_scores.pop(request_id, None)
        for row, echo in list(self._echoes.items()):
            if echo.reply.request_id == request_id:
                del self._echoes[row]
                self._inbox.put(Remove(row))
        for row, scored_id in list(self._scores.items()):
            if scored_id == request_id:
                del self._scores[row]
                self._inbox.put(Remove(row))
        for row, reply in list(self._replies.items()):
            if reply.request_id == request_id:
                del self._replies[row]
                self._inbox.put(Remove(row))

    # --- from the loop ---

    def _pump(self) -> None:
        """Tell the parent all that the loop has emitted: one Step for what has no fault in between."""
        steps: list[Stepped] = []
        for event in self._outbox.take():
            match event:
                case Stepped():
                    steps.append(event)
                case ScoreAdvanced():
                    self._send_scores(event)
                case RowsFaulted():
                    self._send_steps(steps)
                    steps = []
                    self._send_faults(event)
                case Prepared():
                    self._take_prepared(event)
                case Loaded(ready=ready):
                    self._loaded = event
                    self._prompts = PromptThread(event, self._outbox.put)
                    self._send(ready)
                case LoadEnded(message=message):
                    self._ended = True
                    self._send(wire.LoadFailed(message=message))
                case _:
                    assert_never(event)
        self._send_steps(steps)

    def _send_steps(self, steps: list[Stepped]) -> None:
        if not steps:
            return
        deltas: defaultdict[int, list[wire.TokenDelta]] = defaultdict(list)
        faults: list[wire.Fault] = []
        for token in itertools.chain.from_iterable(step.tokens for step in steps):
            # A row that is not known any more was cancelled or met a stop string; its last tokens were under way.
            if (reply := self._replies.get(token.row)) is None:
                continue
            delta = reply.add(token)
            if reply.finish_reason and reply.fault:
                faults.append(wire.Fault(request_id=reply.request_id, message=reply.fault))
                delta = msgspec.structs.replace(delta, finish_reason=None)
            deltas[token.row].append(delta)
            if reply.finish_reason:
                del self._replies[token.row]
                if not token.finish_reason:
                    self._inbox.put(Remove(token.row))
        merged = tuple(wire.merged(row) for row in deltas.values())
        last = steps[-1]
        self._send(
            wire.Step(
                deltas=merged,
                steps=len(steps),
                rows=last.rows,
                decode_steps=sum(bool(step.tokens) for step in steps),
                decoded_tokens=sum(len(step.tokens) for step in steps),
                padding_ratio=last.padding_ratio,
                memory=last.memory,
                prefix_cache=last.prefix_cache,
            )
        )
        for fault in faults:
            self._send(fault)

    def _send_scores(self, event: ScoreAdvanced) -> None:
        if (echo := self._echoes.get(event.row)) is not None:
            if event.ended:
                del self._echoes[event.row]
            self._tell_echo(echo, event.positions, ended=event.ended)
            return
        # One that is not known any more was cancelled.
        if (request_id := self._scores.get(event.row)) is None:
            return
        if event.ended:
            del self._scores[event.row]
        if self._loaded is not None and (event.ended or event.positions):
            positions = with_text(event.positions, self._loaded.tokenizer)
            self._send(wire.Scored(request_id=request_id, positions=positions, ended=event.ended))

    def _send_faults(self, event: RowsFaulted) -> None:
        for row in event.rows:
            if reply := self._replies.pop(row, None):
                self._send(wire.Fault(request_id=reply.request_id, message=event.message))
            if request_id := self._scores.pop(row, None):
                self._send(wire.Fault(request_id=request_id, message=event.message))
            if echo := self._echoes.pop(row, None):
                self._send(wire.Fault(request_id=echo.reply.request_id, message=event.message))
