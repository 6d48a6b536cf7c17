"""`python -m tests.bench.slow_readers`: what a client that stops reading costs the others.

Fifteen streams ask again and again beside one more that asks for a long answer with twenty log-probabilities a token,
several megabytes of it. In one run that client reads, in the next it stops after the first bytes; the runs take turns,
and each pair gives the ratio of the others' times between two tokens. Prints a table.

    python -m tests.bench.slow_readers
    python -m tests.bench.slow_readers --model ~/models/mine --repeats 3
"""

import asyncio
import contextlib
import socket
import statistics
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from tests.bench import http_load, measures, prompts
from tests.bench.contenders import MODEL_NAME
from tests.bench.environment import describe
from tests.bench.measures import Figures
from tests.bench.models import ModelKind, directory
from tests.support.programs import gateway_serving

_STREAMS, _QUICK_STREAMS = 15, 3
_REQUESTS, _QUICK_REQUESTS = 90, 6
_TOKENS, _QUICK_TOKENS = 64, 6
_LONG_TOKENS = 6000
_TOP_LOGPROBS = 20
_RECEIVE_BUFFER_BYTES = 4096
_READ_BYTES = 64 * 1024
_CONFIG = """
state_dir = "{state}"
[[deployments]]
model = "{name}"
source = "{source}"
"""


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Directory; a 2-layer llama otherwise.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="Once and small: no figure counts.")
def main(*, model: Path | None, repeats: int, quick: bool) -> None:
    source = model or directory(ModelKind.TINY, real=None)
    environment = describe()
    pairs: list[tuple[Figures, Figures]] = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        config = home / "gateway.toml"
        config.write_text(_CONFIG.format(state=home / "state", name=MODEL_NAME, source=source))
        with gateway_serving(home, "--config", config) as gateway:
            for number in range(1 if quick else repeats):
                reading, stalled = (
                    asyncio.run(_others(gateway.url, reads=reads, draw=f"{number}-{reads}", quick=quick))
                    for reads in (True, False)
                )
                pairs.append((reading, stalled))
    click.echo(
        f"{source.name}, {_QUICK_STREAMS if quick else _STREAMS} streams beside one, {environment.chip}, "
        f"{environment.cores} cores, load before {environment.load_before:.2f}, commit {environment.commit}\n"
    )
    click.echo(_table(pairs))


async def _others(url: str, *, reads: bool, draw: str, quick: bool) -> Figures:
    """Return the figures of the others beside a client that reads, or does not."""
    workload = prompts.closed_loop(
        streams=_QUICK_STREAMS if quick else _STREAMS,
        requests=_QUICK_REQUESTS if quick else _REQUESTS,
        prompt_tokens=20,
        max_tokens=(_QUICK_TOKENS if quick else _TOKENS,),
        draw=draw,
    )
    async with _beside(url, reads=reads):
        return measures.evenness(await http_load.run(workload, http_load.Target(url, MODEL_NAME)))


@asynccontextmanager
async def _beside(url: str, *, reads: bool) -> AsyncGenerator[None]:
    """Have one more client in the block, which has asked for a long answer and got its first bytes."""
    message = {"role": "user", "content": "Tell me everything."}
    body = msgspec.json.encode(
        {
            "model": MODEL_NAME,
            "messages": [message],
            "max_tokens": _LONG_TOKENS,
            "stream": True,
            "logprobs": True,
            "top_logprobs": _TOP_LOGPROBS,
        }
    )
    place = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    connection.connect((place.hostname, place.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=_RECEIVE_BUFFER_BYTES)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    reading = None
    try:
        await reader.readuntil(b"data: ")
        if reads:
            reading = asyncio.create_task(_read_on(reader))
        yield
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(_READ_BYTES):
        pass


def _table(pairs: list[tuple[Figures, Figures]]) -> str:
    lines = [
        "| figure | beside a reader | beside one that stopped | ratio, median (least to greatest) |",
        "|---|---|---|---|",
    ]
    for name in ("itl_p50_s", "itl_p99_s", "output_tokens_per_s"):
        reading, stalled = ([figures[name] for figures in side] for side in zip(*pairs, strict=True))
        ratios = [after / before for before, after in zip(reading, stalled, strict=True)]
        lines.append(
            f"| {name} | {statistics.median(reading):.4g} | {statistics.median(stalled):.4g} "
            f"| {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |"
        )
    errors = sum(figures["errors"] for pair in pairs for figures in pair)
    return "\n".join([*lines, "", f"errors: {errors:g}"])


if __name__ == "__main__":
    main()
