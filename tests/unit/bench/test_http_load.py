"""The load generator against a small server that answers well, badly or not at all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.bench import http_load
from tests.bench.workload import Client, Message, Trace, Turn, Workload

_CHUNK = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
_USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4}}\n\n'
_END = b"data: [DONE]\n\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@asynccontextmanager
async def _server(*pieces: bytes, pause_s: float = 0.0) -> AsyncGenerator[http_load.Target]:
    """Answer every connection with these pieces and close it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n")[0]))
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except ConnectionError:  # The client cut it off.
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield http_load.Target(f"http://127.0.0.1:{port}", "m")


def _chunked(*pieces: bytes) -> list[bytes]:
    return [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces] + [b"0\r\n\r\n"]


def _workload(clients: int = 1, *, background: int = 0, turns: int = 1) -> Workload:
    turn = Turn(messages=(Message("user", "a"),), max_tokens=3)
    return Workload(
        clients=tuple(Client(turns=(turn,) * turns, background=number < background) for number in range(clients))
    )


def _run(workload: Workload, *pieces: bytes, pause_s: float = 0.0) -> list[Trace]:
    async def run() -> list[Trace]:
        async with _server(*pieces, pause_s=pause_s) as target:
            return await http_load.run(workload, target)

    return asyncio.run(run())


@pytest.mark.parametrize("chunked", [True, False])
def test_tokens_times_and_usage_are_taken_from_the_stream(chunked: bool) -> None:
    events = [_CHUNK, _CHUNK[:20], _CHUNK[20:], _USAGE + _END]
    head = _HEAD + (b"transfer-encoding: chunked\r\n\r\n" if chunked else b"\r\n")
    (trace,) = _run(_workload(), head, *(_chunked(*events) if chunked else events))
    assert (trace.error, trace.status, trace.completion_tokens) == ("", 200, 3)
    assert len(trace.delta_times_s) == 2
    assert trace.started_s <= trace.delta_times_s[0] <= trace.ended_s


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((), "IncompleteReadError"),
        ((_HEAD + b"\r\n", _CHUNK), "EOFError"),
        ((_HEAD + b"\r\n", b"data: {\n\n"), "DecodeError"),
        ((b"HTTP/1.1 500 No\r\n\r\n",), "status_500"),
    ],
)
def test_an_answer_that_is_not_whole_is_counted_and_no_crash(pieces: tuple[bytes, ...], error: str) -> None:
    traces = _run(_workload(2, turns=2), *pieces)
    assert [trace.error for trace in traces] == [error] * 4


def test_nobody_listening_is_an_error_of_each_request() -> None:
    traces = asyncio.run(http_load.run(_workload(2), http_load.Target("http://127.0.0.1:9", "m")))
    assert [trace.error for trace in traces] == ["ConnectionRefusedError"] * 2


def test_a_refusal_tells_whether_it_says_when_to_come_back() -> None:
    (polite,) = _run(_workload(), b"HTTP/1.1 429 No\r\nRetry-After: 2\r\n\r\n")
    (rude,) = _run(_workload(), b"HTTP/1.1 429 No\r\n\r\n")
    assert (polite.retry_after, rude.retry_after) == (True, False)


def test_background_clients_start_first_and_are_cut_off_at_the_end() -> None:
    traces = _run(_workload(3, background=1), _HEAD + b"\r\n", *[_CHUNK] * 5, _USAGE, _END, pause_s=0.02)
    (behind,) = [trace for trace in traces if trace.background]
    before = [trace for trace in traces if not trace.background]
    assert all(trace.started_s >= behind.delta_times_s[0] for trace in before)
    assert behind.cut or behind.completion_tokens == 3
    assert not any(trace.error for trace in traces)


def test_a_background_client_that_fails_holds_nobody_up() -> None:
    traces = _run(_workload(2, background=1), b"HTTP/1.1 500 No\r\n\r\n")
    assert [trace.error for trace in traces] == ["status_500"] * 2
