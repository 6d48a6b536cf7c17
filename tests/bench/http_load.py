"""Run a workload over HTTP: plain sockets, because the load generator shares the machine with what it measures."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec

from tests.bench.workload import Client, Message, Trace, Workload, grown

REQUEST_TIMEOUT_S = 900.0
"""A client that has no answer by then counts as an error: a peer may let it hang."""
_LIMIT_BYTES = 1024 * 1024


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = _Delta()


class _Usage(msgspec.Struct):
    completion_tokens: int


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Target(msgspec.Struct, frozen=True):
    """Where a contender listens, and the model's name there."""

    url: str
    model: str
    pin: str | None = None
    """The Variant that an evaluation's trials name in `x-gateway-variant`, where there is such a thing."""


async def run(workload: Workload, target: Target) -> list[Trace]:
    """Run every client to its end and return a trace of each request, in no order."""
    traces: list[Trace] = []
    first_tokens = [asyncio.Event() for client in workload.clients if client.background]
    background: list[asyncio.Task[None]] = []
    foreground: list[tuple[int, Client]] = []
    for index, client in enumerate(workload.clients):
        if client.background:
            event = first_tokens[len(background)]
            background.append(asyncio.create_task(_run_client(index, client, target, traces, event)))
        else:
            foreground.append((index, client))
    for event, task in zip(first_tokens, background, strict=True):
        started = asyncio.ensure_future(event.wait())
        await asyncio.wait((started, task), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
    await asyncio.gather(*(_run_client(index, client, target, traces, asyncio.Event()) for index, client in foreground))
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    return traces


async def _run_client(
    index: int, client: Client, target: Target, traces: list[Trace], first_token: asyncio.Event
) -> None:
    messages: tuple[Message, ...] = ()
    answer = ""
    for number, turn in enumerate(client.turns):
        messages = grown(messages, answer, turn)
        trace = Trace(client=index, turn=number, background=client.background, started_s=time.monotonic())
        traces.append(trace)
        texts: list[str] = []
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                request = _encode_request(messages, turn.max_tokens, target, pinned=client.evaluation)
                await _request(request, target, trace, texts, first_token)
        except asyncio.CancelledError:
            trace.cut = True
            raise
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            trace.error = type(error).__name__
        finally:
            trace.ended_s = time.monotonic()
        answer = "".join(texts)


async def _request(request: bytes, target: Target, trace: Trace, texts: list[str], first_token: asyncio.Event) -> None:
    """Send one request and note what comes. Raises OSError, EOFError or ValueError where the answer is not whole."""
    url = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=_LIMIT_BYTES)
    try:
        writer.write(request)
        await writer.drain()
        headers = await _read_head(reader, trace)
        if trace.status != 200:
            trace.retry_after = "retry-after" in headers
            trace.error = f"status_{trace.status}"
            return
        chunked = headers.get("transfer-encoding") == "chunked"
        await _read_events(_chunks(reader) if chunked else _lines(reader), trace, texts, first_token)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _encode_request(messages: tuple[Message, ...], max_tokens: int, target: Target, *, pinned: bool) -> bytes:
    body = msgspec.json.encode(
        {
            "model": target.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    pin = f"x-gateway-variant: {target.pin}\r\n" if pinned and target.pin else ""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(target.url).netloc}\r\n{pin}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _read_head(reader: asyncio.StreamReader, trace: Trace) -> dict[str, str]:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    trace.status = int(status_line.split(" ")[1])
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip().lower() for name, _, value in pairs}


async def _read_events(parts: AsyncIterator[bytes], trace: Trace, texts: list[str], first_token: asyncio.Event) -> None:
    buffer = b""
    async for part in parts:
        now_s = time.monotonic()
        *lines, buffer = (buffer + part).split(b"\n")
        for line in lines:
            if not line.startswith(b"data: "):
                continue
            data = line[6:].strip()
            if data == b"[DONE]":
                return
            chunk = _decode(data)
            if chunk.usage is not None:
                trace.completion_tokens = chunk.usage.completion_tokens
            if chunk.choices and chunk.choices[0].delta.content:
                trace.delta_times_s.append(now_s)
                texts.append(chunk.choices[0].delta.content)
                first_token.set()
    raise EOFError


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the pieces of a chunked body."""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while line := await reader.readline():
        yield line
