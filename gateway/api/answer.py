"""Answer one generating request: generate, and send the completion whole or as it comes."""

import time
import uuid
from functools import partial

import msgspec
from litestar.types import Receive, Scope, Send

from gateway.api.completion import finish_reason_of, usage_of
from gateway.api.disconnect import ReaderStalled, unless_disconnected
from gateway.api.errors import as_gateway_error
from gateway.api.event_stream import EventStream
from gateway.api.form import Chunks, Form, Head
from gateway.api.record import RequestRecord
from gateway.choices import OneChoice
from gateway.contracts.chat import ChatRequest, Usage
from gateway.contracts.completions import CompletionRequest
from gateway.contracts.digests import short
from gateway.errors import RequestError
from gateway.routing import Route
from gateway.service import Gateway
from gateway.wire import TokenDelta

_encoder = msgspec.json.Encoder()
_JSON = [(b"content-type", b"application/json")]


class Answer:
    """The answer to one request, as the ASGI application that Litestar calls to send it.

    Litestar's own `Stream` watches for a client that leaves while events are sent; not before the first one, nor while
    an answer is made that is sent whole.
    """

    def __init__(
        self,
        gateway: Gateway,
        route: Route,
        request: ChatRequest | CompletionRequest,
        form: Form,
        record: RequestRecord,
    ) -> None:
        self._gateway = gateway
        self._route = route
        self._request = request
        self._form = form
        self._record = record
        self._completion_id = f"{form.id_prefix}{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._system_fingerprint = short(route.variant.digest)
        self._lasts: dict[int, TokenDelta] = {}
        """Each choice's latest delta, by index: it counts all of the choice's tokens. Of an answer that is sent whole,
        the last says all."""

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; raise what goes wrong before anything is sent, while the answer can have its own status."""
        self._record.completion_id = self._completion_id
        self._record.stream = bool(self._request.stream)
        answer = self._send_events(send) if self._request.stream else self._send_whole(send)
        try:
            if not await unless_disconnected(answer, receive):
                self._record.disconnected = True
        except ReaderStalled:
            # The server closes the connection of an answer that is left unfinished.
            self._record.stalled = True
        except RequestError as error:
            raise self._form.named(error) from None
        finally:
            self._note_usage()

    async def _send_whole(self, send: Send) -> None:
        async with self._gateway.generate(self._route, self._request) as (route, choices):
            self._answered_by(route)
            self._record.prompt_tokens = choices.prompt_tokens
            try:
                async for index, delta in choices:
                    self._note(index, delta)
            finally:  # of several prompts the later begin meanwhile
                self._record.prompt_tokens = choices.prompt_tokens
        body = _encoder.encode(self._form.whole(self._head(), self._lasts, self._usage()))
        headers = [*_JSON, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._give_place_back()
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send_events(self, send: Send) -> None:
        """Send the events of the answer and of its end; an error after the first event is an event of its own."""
        chunks = self._form.chunks(self._head())
        server = self._gateway.settings.server
        async with EventStream(
            send,
            server.keep_alive_interval_s,
            stall_limit_s=server.stalled_reader_timeout_s,
            send_body=self._record.send_body,
        ) as stream:
            try:
                async with self._gateway.generate(self._route, self._request) as (route, choices):
                    self._answered_by(route)
                    self._record.prompt_tokens = choices.prompt_tokens
                    chunks = self._form.chunks(self._head())
                    if isinstance(choices, OneChoice):
                        choices.set_tap(partial(self._send_now, stream, chunks))
                    try:
                        async for index, delta in choices:
                            self._note(index, delta)
                            await stream.send(chunks.delta(index, delta))
                    finally:
                        self._record.prompt_tokens = choices.prompt_tokens
                for last in self._lasts.values():
                    finish_reason_of(last)
            except Exception as exception:
                if await stream.can_still_fail():
                    raise
                # The status is sent; as_gateway_error logs what is not ours.
                error = self._form.named(as_gateway_error(exception))
                self._record.code = error.code
                self._give_place_back()
                await stream.end(chunks.failed(error))
            else:
                self._give_place_back()
                await stream.end(chunks.end(self._usage()))

    def _send_now(self, stream: EventStream, chunks: Chunks, delta: TokenDelta) -> bool:
        """Send a delta in the engine's own turn, unless its client is slow; return whether that is done."""
        if not stream.flows:
            return False
        stream.send_now(chunks.delta(0, delta))
        self._note(0, delta)
        return True

    def _give_place_back(self) -> None:
        """Count the request out of its key's limits before its last byte: its client may ask again at once."""
        self._note_usage()
        self._record.end_admission()

    def _note_usage(self) -> None:
        if self._lasts:
            usage = self._usage()
            self._record.completion_tokens = usage.completion_tokens
            self._record.cached_tokens = usage.prompt_tokens_details.cached_tokens

    def _answered_by(self, route: Route) -> None:
        """Note which route the request took in the end, which may be another than it was sent on."""
        self._record.answered = True
        if route is self._route:
            return
        self._route = route
        self._system_fingerprint = short(route.variant.digest)
        self._record.routed(route)

    def _head(self) -> Head:
        return Head(
            id=self._completion_id,
            created=self._created,
            model=self._route.model,
            system_fingerprint=self._system_fingerprint,
            prompt_tokens=self._record.prompt_tokens or 0,
        )

    def _note(self, index: int, delta: TokenDelta) -> None:
        self._lasts[index] = delta
        if delta.completion_tokens:  # else it is the prompt's echo
            self._record.token_came()
        if delta.finish_reason is not None:
            self._record.finish_reason = delta.finish_reason

    def _usage(self) -> Usage:
        lasts = [last for _, last in sorted(self._lasts.items())]
        return usage_of(self._record.prompt_tokens or 0, *lasts, prompts_count=self._form.prompts_count)
