"""The second thread: owns the socket, turns requests into tokens and tokens into text, off the MLX thread.

One thread reads and writes, because tokenizers are not safe for two. It sleeps in a select over the socket and the
loop's wake-up. A parent that reads slowly is not sent more, smaller frames: what happens meanwhile merges into the
next Step.
"""

import itertools
import selectors
import socket
from collections.abc import Callable
from typing import assert_never

from gateway import wire
from gateway.contracts.error_codes import ErrorCode
from gateway.engine.handoff import Inbox, Loaded, LoadEnded, Outbox, Remove, RowsFaulted, Stepped, StopLoop
from gateway.engine.reply import Reply
from gateway.engine.runner import RowSpec
from gateway.engine.tokenizer import TemplateError
from gateway.engine.window import Refusal, completion_tokens_allowed

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
        self._replies: dict[int, Reply] = {}

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
            case wire.Cancel(request_id=request_id):
                self._cancel(request_id)
            case wire.Stop():
                if self._loaded is None:
                    self._hang_up()
                self._inbox.put(StopLoop())
            case _:
                assert_never(message)

    def _submit(self, submit: wire.Submit) -> None:
        try:
            spec, reply = self._prepare(submit)
        except Refusal as refusal:
            self._send(
                wire.Rejected(
                    request_id=submit.request_id, code=refusal.code, message=refusal.message, param=refusal.param
                )
            )
            return
        self._send(wire.Accepted(request_id=submit.request_id, prompt_tokens=len(spec.prompt)))
        self._replies[spec.row] = reply
        self._inbox.put(spec)

    def _prepare(self, submit: wire.Submit) -> tuple[RowSpec, Reply]:
        """Check and tokenise a request. Raises Refusal."""
        if self._loaded is None:
            raise Refusal("The model is still loading.", code=ErrorCode.NOT_READY, param=None)
        if not all(submit.stop):
            raise Refusal("A stop string is empty; leave it out.", param="stop")
        tokenizer = self._loaded.tokenizer
        messages = [
            wire.WireMessage(role="system" if message.role == "developer" else message.role, content=message.content)
            for message in submit.messages
        ]
        try:
            prompt = tokenizer.encode_chat(messages, submit.template_arguments)
        except TemplateError as error:
            raise Refusal(str(error), param="messages") from error
        if not prompt:
            raise Refusal("The model's chat template makes an empty prompt of these messages.", param="messages")
        max_tokens = completion_tokens_allowed(
            prompt_tokens=len(prompt),
            asked=submit.max_completion_tokens,
            completion_limit=submit.completion_limit,
            context_length=self._loaded.ready.context_length,
        )
        spec = RowSpec(
            row=next(self._row_numbers),
            prompt=tuple(prompt),
            max_tokens=max_tokens,
            temperature=submit.temperature,
            top_p=submit.top_p,
            seed=submit.seed,
        )
        return spec, Reply(submit.request_id, tokenizer.detokenizer(), submit.stop)

    def _cancel(self, request_id: str) -> None:
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
        deltas: dict[int, wire.TokenDelta] = {}
        for token in itertools.chain.from_iterable(step.tokens for step in steps):
            # A row that is not known any more was cancelled or met a stop string; its last tokens were under way.
            if (reply := self._replies.get(token.row)) is None:
                continue
            text = reply.add(token)
            before = deltas.get(token.row)
            deltas[token.row] = wire.TokenDelta(
                request_id=reply.request_id,
                text=before.text + text if before else text,
                completion_tokens=reply.completion_tokens,
                finish_reason=reply.finish_reason,
            )
            if reply.finish_reason:
                del self._replies[token.row]
                if not token.finish_reason:
                    self._inbox.put(Remove(token.row))
        self._send(wire.Step(deltas=tuple(deltas.values()), rows=steps[-1].rows, memory=steps[-1].memory))

    def _send_faults(self, event: RowsFaulted) -> None:
        for row in event.rows:
            if reply := self._replies.pop(row, None):
                self._send(wire.Fault(request_id=reply.request_id, message=event.message))
