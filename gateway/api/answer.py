"""Answer one chat request: generate, and send the completion whole or as it comes."""

import time
import uuid
from collections import defaultdict

import msgspec
from litestar.types import Receive, Scope, Send

from gateway.api.completion import choice_of, finish_reason_of, usage_of
from gateway.api.disconnect import unless_disconnected
from gateway.api.errors import as_gateway_error, encode_error
from gateway.api.event_stream import EventStream
from gateway.api.record import RequestRecord
from gateway.api.sse import DONE, ChunkEncoder, event
from gateway.contracts.chat import ChatCompletion, ChatRequest, Usage
from gateway.contracts.digests import short
from gateway.routing import Route
from gateway.service import Gateway
from gateway.wire import TokenDelta, merged

_encoder = msgspec.json.Encoder()
_JSON = [(b"content-type", b"application/json")]


class ChatAnswer:
    """The answer to one request, as the ASGI application that Litestar calls to send it.

    Litestar's own `Stream` watches for a client that leaves while events are sent; not before the first one, nor while
    an answer is made that is sent whole.
    """

    def __init__(self, gateway: Gateway, route: Route, request: ChatRequest, record: RequestRecord) -> None:
        self._gateway = gateway
        self._route = route
        self._request = request
        self._record = record
        self._completion_id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._system_fingerprint = short(route.variant.digest)
        self._lasts: dict[int, TokenDelta] = {}
        """Each choice's latest delta, by index: it counts all of the choice's tokens."""
        self._token_count = 0
        """Of all choices."""

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; raise what goes wrong before anything is sent, while the answer can have its own status."""
        self._record.completion_id = self._completion_id
        answer = self._send_events(send) if self._request.stream else self._send_whole(send)
        if not await unless_disconnected(answer, receive):
            self._record.disconnected = True

    async def _send_whole(self, send: Send) -> None:
        said: defaultdict[int, list[TokenDelta]] = defaultdict(list)
        async with self._gateway.generate(self._route, self._request) as choices:
            self._record.prompt_tokens = choices.prompt_tokens
            async for index, delta in choices:
                self._note(index, delta)
                said[index].append(delta)
        logprobs = bool(self._request.logprobs)
        completion = ChatCompletion(
            id=self._completion_id,
            created=self._created,
            model=self._route.model,
            system_fingerprint=self._system_fingerprint,
            choices=tuple(choice_of(index, merged(said[index]), logprobs=logprobs) for index in sorted(said)),
            usage=self._usage(),
        )
        body = _encoder.encode(completion)
        headers = [*_JSON, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send_events(self, send: Send) -> None:
        """Send the chunks, then the usage where it was asked for, then `[DONE]`.

        An error after the first event is an event of its own and the last one. No `[DONE]` follows it: the official
        client raises at the error and reads no further, and to a client that skips what it does not know, `[DONE]`
        would say that the text is complete.
        """
        options = self._request.stream_options
        chunks = ChunkEncoder(
            completion_id=self._completion_id,
            created=self._created,
            model=self._route.model,
            system_fingerprint=self._system_fingerprint,
            include_usage=options is not None and options.include_usage,
        )
        async with EventStream(send, self._gateway.settings.server.keep_alive_interval_s) as stream:
            try:
                async with self._gateway.generate(self._route, self._request) as choices:
                    self._record.prompt_tokens = choices.prompt_tokens
                    async for index, delta in choices:
                        self._note(index, delta)
                        await stream.send(chunks.delta(index, delta))
                for last in self._lasts.values():
                    finish_reason_of(last)
            except Exception as exception:
                if await stream.can_still_fail():
                    raise
                # The status is sent; as_gateway_error logs what is not ours.
                error = as_gateway_error(exception)
                self._record.code = error.code
                await stream.end(event(encode_error(error)))
            else:
                await stream.end(chunks.usage(self._usage()) + DONE)

    def _note(self, index: int, delta: TokenDelta) -> None:
        before = self._lasts.get(index)
        self._lasts[index] = delta
        self._token_count += delta.completion_tokens - (before.completion_tokens if before else 0)
        self._record.tokens_came(self._token_count)
        self._record.finish_reason = delta.finish_reason or self._record.finish_reason

    def _usage(self) -> Usage:
        return usage_of(self._record.prompt_tokens or 0, *self._lasts.values())
