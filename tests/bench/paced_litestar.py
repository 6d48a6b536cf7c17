"""A Litestar application without anything behind it, paced as `paced_app`: what a stream costs a framework at least."""

from collections.abc import AsyncIterator

import msgspec
from litestar import Litestar, get, post
from litestar.response import Stream

from gateway.api.sse import DONE, event
from gateway.contracts.chat import ChatCompletionChunk, ChunkChoice, Delta
from tests.bench.paced_app import CHUNKS, Clock

_encode = msgspec.json.Encoder().encode
_clock = Clock()


@post("/v1/chat/completions", status_code=200)
async def create_chat_completion(data: dict[str, object]) -> Stream:
    del data
    return Stream(_events(), media_type="text/event-stream")


@get("/health")
async def health() -> str:
    return "ok"


async def _events() -> AsyncIterator[bytes]:
    chunk = ChatCompletionChunk(
        id="chatcmpl-0123456789abcdef0123456789abcdef",
        created=1764288000,
        model="paced",
        system_fingerprint="0123456789ab",
        choices=(ChunkChoice(index=0, delta=Delta(content="x")),),
    )
    for _ in range(CHUNKS):
        await _clock.beat()
        yield event(_encode(chunk))
    yield DONE


app = Litestar([create_chat_completion, health], openapi_config=None)
