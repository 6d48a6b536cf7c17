"""The second thread: owns the socket, turns requests into tokens and tokens into text, off the MLX thread.

One thread reads and writes, because tokenizers are not safe for two. It sleeps in a select over the socket and the
loop's wake-up. A parent that reads slowly is not sent more, smaller frames: what happens meanwhile merges into the
next Step.
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
    Remove,
    RowsFaulted,
    ScoreAdvanced,
    Stepped,
    StopLoop,
)
from gateway.engine.logprobs import LogprobLedger
from gateway.engine.prompt import prompt_of, scanner_of, splitter_of, tokens_allowed
from gateway.engine.reply import Reply
from gateway.engine.row_options import check_logit_bias, constraint_of
from gateway.engine.runner import RowSpec, ScoreSpec
from gateway.engine.score_text import score_spec, with_text
from gateway.engine.tokens import detokenized, tokenized
from gateway.engine.window import Refusal

_READ_BYTES = 1024 * 1024


class TextThread:
    def __init__(self, connection: socket.socket, inbox: Inbox, outbox: Outbox, *, hang_up: Callable[[], None]) -> None:
        """`hang_up` ends the process: called when the parent is gone, or says stop while the model loads."""
        connection.settimeout(0)
        self._connection = connection
        self._inbox = inbox
        self._outbox = outbox
        self._hang_up = hang_up
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._loaded: Loaded | None = None
        self._ended = False
        self._row_numbers = itertools.count(1)
        self._parked: dict[str, tuple[RowSpec, Reply, Echo | None]] = {}
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
            case wire.Submit():
                self._submit(message)
            case wire.Score():
                self._score(message)
            case wire.Tokenize() | wire.Detokenize():
                self._tokenize(message)
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

    def _submit(self, submit: wire.Submit) -> None:
        try:
            spec, reply, echo = self._prepare(submit)
        except Refusal as refusal:
            self._reject(submit.request_id, refusal)
            return
        self._parked[submit.request_id] = (spec, reply, echo)
        self._send(
            wire.Accepted(request_id=submit.request_id, prompt_tokens=len(spec.prompt), max_tokens=spec.max_tokens)
        )

    def _score(self, score: wire.Score) -> None:
        try:
            loaded = self._require_loaded()
            spec = score_spec(
                score,
                loaded.tokenizer,
                row=next(self._row_numbers),
                context_length=loaded.ready.context_length,
            )
        except Refusal as refusal:
            self._reject(score.request_id, refusal)
            return
        self._parked_scores[score.request_id] = spec
        self._send(wire.Accepted(request_id=score.request_id, prompt_tokens=len(spec.tokens), max_tokens=0))

    def _tokenize(self, asked: wire.Tokenize | wire.Detokenize) -> None:
        try:
            tokenizer = self._require_loaded().tokenizer
            answer = tokenized(asked, tokenizer) if isinstance(asked, wire.Tokenize) else detokenized(asked, tokenizer)
        except Refusal as refusal:
            self._reject(asked.request_id, refusal)
            return
        self._send(answer)

    def _reject(self, request_id: str, refusal: Refusal) -> None:
        self._send(
            wire.Rejected(request_id=request_id, code=refusal.code, message=refusal.message, param=refusal.param)
        )

    def _require_loaded(self) -> Loaded:
        """Return the model. Raises Refusal."""
        if self._loaded is None:
            raise Refusal("The model is still loading.", code=ErrorCode.NOT_READY, param=None)
        return self._loaded

    def _start(self, start: wire.Start) -> None:
        if parked := self._parked.pop(start.request_id, None):
            spec, reply, echo = parked
            spec = msgspec.structs.replace(spec, max_tokens=min(spec.max_tokens, start.max_tokens))
            if echo is None:
                self._begin(spec, reply)
            else:
                echo.spec = spec
                self._start_echo(echo)
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

    def _prepare(self, submit: wire.Submit) -> tuple[RowSpec, Reply, Echo | None]:
        """Check and tokenise a request. Raises Refusal."""
        loaded = self._require_loaded()
        if not all(submit.stop):
            raise Refusal("A stop string is empty; leave it out.", param="stop")
        tokenizer = loaded.tokenizer
        check_logit_bias(submit.sampling, tokenizer)
        prompt = prompt_of(submit, tokenizer)
        max_tokens = tokens_allowed(submit, prompt, context_length=loaded.ready.context_length)
        continues = submit.prompt is not None
        spec = RowSpec(
            row=next(self._row_numbers),
            prompt=prompt.tokens,
            max_tokens=max_tokens,
            sampling=submit.sampling,
            constraint=constraint_of(submit, tokenizer),
            top_logprobs=submit.top_logprobs,
            prefix_cache=submit.prefix_cache,
            urgent=submit.urgent,
        )
        reply = Reply(
            submit.request_id,
            tokenizer.detokenizer(calls=submit.tools is not None, continues=continues),
            submit.stop,
            splitter=splitter_of(tokenizer, submit, prompt),
            scanner=scanner_of(tokenizer, submit),
            ledger=LogprobLedger(tokenizer, every_token=continues) if submit.top_logprobs is not None else None,
            constraint=spec.constraint,
            has_form=submit.grammar is not None,
        )
        echo = Echo(submit, spec, reply, tokenizer, row=next(self._row_numbers)) if submit.echo else None
        return spec, reply, echo

    def _cancel(self, request_id: str) -> None:
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
                case Loaded(ready=ready):
                    self._loaded = event
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
        if event.ended or event.positions:
            positions = with_text(event.positions, self._require_loaded().tokenizer)
            self._send(wire.Scored(request_id=request_id, positions=positions, ended=event.ended))

    def _send_faults(self, event: RowsFaulted) -> None:
        for row in event.rows:
            if reply := self._replies.pop(row, None):
                self._send(wire.Fault(request_id=reply.request_id, message=event.message))
            if request_id := self._scores.pop(row, None):
                self._send(wire.Fault(request_id=request_id, message=event.message))
            if echo := self._echoes.pop(row, None):
                self._send(wire.Fault(request_id=echo.reply.request_id, message=event.message))
