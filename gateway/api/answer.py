"""Answer one chat request: generate, and send the completion whole or as it comes."""

import time
import uuid
from collections.abc import AsyncIterator

import msgspec
from litestar.types import Receive, Scope, Send

from gateway.api.disconnect import unless_disconnected
from gateway.api.errors import as_gateway_error, encode_error
from gateway.api.record import RequestRecord
from gateway.api.sse import DONE, ChunkEncoder, event
from gateway.contracts.chat import AssistantMessage, ChatCompletion, ChatRequest, Choice, FinishReason, Usage
from gateway.contracts.digests import short
from gateway.errors import EngineFault
from gateway.routing import Route
from gateway.service import Gateway
from gateway.wire import TokenDelta

_encoder = msgspec.json.Encoder()
_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


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

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; raise what goes wrong before the first token, while the answer can have its own status."""
        self._record.completion_id = self._completion_id
        if not await unless_disconnected(self._answer(send), receive):
            self._record.disconnected = True

    async def _answer(self, send: Send) -> None:
        async with self._gateway.generate(self._route, self._request) as generation:
            self._record.prompt_tokens = generation.prompt_tokens
            deltas = aiter(generation)
            first = await anext(deltas)
            self._record.first_token_came(first.completion_tokens)
            if self._request.stream:
                await self._send_events(first, deltas, send)
            else:
                await self._send_whole(first, deltas, send)

    async def _send_whole(self, first: TokenDelta, deltas: AsyncIterator[TokenDelta], send: Send) -> None:
        texts = [first.text]
        last = first
        async for last in deltas:
            self._record.completion_tokens = last.completion_tokens
            texts.append(last.text)
        completion = ChatCompletion(
            id=self._completion_id,
            created=self._created,
            model=self._route.model,
            system_fingerprint=self._system_fingerprint,
            choices=(
                Choice(
                    index=0, message=AssistantMessage(content="".join(texts)), finish_reason=self._finish_reason(last)
                ),
            ),
            usage=self._usage(last),
        )
        body = _encoder.encode(completion)
        headers = [*_JSON, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send_events(self, first: TokenDelta, deltas: AsyncIterator[TokenDelta], send: Send) -> None:
        """Send the chunks, then the usage where it was asked for, then `[DONE]`.

        An error after the first token is an event of its own and the last one. No `[DONE]` follows it: the official
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
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        last = first
        try:
            await _send_part(send, chunks.delta(first))
            async for last in deltas:
                self._record.completion_tokens = last.completion_tokens
                if data := chunks.delta(last):
                    await _send_part(send, data)
            self._finish_reason(last)
        except Exception as exception:  # noqa: BLE001 - the status is sent; as_gateway_error logs what is not ours
            error = as_gateway_error(exception)
            self._record.code = error.code
            end = event(encode_error(error))
        else:
            end = chunks.usage(self._usage(last)) + DONE
        await send({"type": "http.response.body", "body": end, "more_body": False})

    def _finish_reason(self, last: TokenDelta) -> FinishReason:
        if last.finish_reason is None:
            raise EngineFault("The engine ended the answer without saying why.")
        self._record.finish_reason = last.finish_reason
        return last.finish_reason

    def _usage(self, last: TokenDelta) -> Usage:
        prompt_tokens = self._record.prompt_tokens or 0
        return Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=last.completion_tokens,
            total_tokens=prompt_tokens + last.completion_tokens,
        )


async def _send_part(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
