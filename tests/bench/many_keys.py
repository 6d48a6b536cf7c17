"""`python -m tests.bench.many_keys`: what a crowd of callers costs the process that speaks HTTP.

One gateway has one key and sixteen streams at a time, another a thousand keys and a thousand streams, each with a key
of its own; keys have limits. Both serve the same scripted model and take turns; each pair gives the ratio of the CPU
time that the HTTP process used for a token. The model's steps leave time to send every token by itself: where a machine
is too slow for that, deltas are merged, and a token costs less than a chunk shows. Prints a table.

    python -m tests.bench.many_keys
    python -m tests.bench.many_keys --repeats 3 --out figures.json
"""

import asyncio
import contextlib
import re
import resource
import statistics
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click
import msgspec
import psutil

from gateway.contracts.keys import CreateKey, KeyRole
from gateway.issued_keys import IssuedKeys
from gateway.keys import KeyRing
from gateway.registry import Registry
from gateway.settings import LogSettings
from gateway.telemetry.logs import set_up_logging
from tests.bench.contenders import MODEL_NAME
from tests.bench.environment import Environment, describe
from tests.support.programs import RunningGateway, gateway_serving
from tests.support.scripted_model import write_scripted_model

TARGET_RATIO = 1.1
_FEW, _MANY, _QUICK_MANY = 16, 1000, 32
_TOKENS, _QUICK_TOKENS = 200, 20
_NO_LIMIT = 10**9
"""A limit that is counted and never reached."""
_FILES = 8192
_WORD = "word "
_SCRIPT = """
default_text = "{text}"
step_delay_s = 0.1
"""
_CONFIG = """
[engine]
max_rows = {rows}
[queue.interactive]
max_queued = {rows}
[[deployments]]
model = "{name}"
source = "{source}"
"""
_CONTENT = b'"content":"'
_COUNTED = re.compile(rb'"completion_tokens":(\d+)')


class Figures(msgspec.Struct, frozen=True):
    cpu_us_per_token: float
    cpu_us_per_chunk: float
    tokens: int
    errors: int


class Results(msgspec.Struct, frozen=True, kw_only=True):
    environment: Environment
    few: list[Figures]
    many: list[Figures]
    target: float = TARGET_RATIO


class _Side(NamedTuple):
    gateway: RunningGateway
    secrets: Sequence[str]
    streams: int


@click.command()
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="Once and small: no figure counts.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the figures as JSON.")
def main(*, repeats: int, quick: bool, out: Path | None) -> None:
    _allow_files()
    set_up_logging(LogSettings(level="error"))
    environment = describe()
    many = _QUICK_MANY if quick else _MANY
    few_figures: list[Figures] = []
    many_figures: list[Figures] = []
    with tempfile.TemporaryDirectory() as scratch:
        text = _WORD * ((_QUICK_TOKENS if quick else _TOKENS) // len(_WORD))
        model = write_scripted_model(Path(scratch) / "model", _SCRIPT.format(text=text))
        with (
            _serving(Path(scratch) / "few", model, keys=1, rows=_FEW) as (one, few_secrets),
            _serving(Path(scratch) / "many", model, keys=many, rows=many) as (other, many_secrets),
        ):
            sides = (
                (_Side(one, few_secrets, _FEW), few_figures),
                (_Side(other, many_secrets, many), many_figures),
            )
            for number in range(1 if quick else repeats):
                for side, figures in sides if number % 2 == 0 else reversed(sides):
                    figures.append(asyncio.run(_measured(side)))
    results = Results(environment=environment, few=few_figures, many=many_figures)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    click.echo(_document(results, many))


def _allow_files() -> None:
    """A thousand streams are as many sockets, here and in the gateway, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _serving(home: Path, model: Path, *, keys: int, rows: int) -> Generator[tuple[RunningGateway, Sequence[str]]]:
    home.mkdir()
    config = home / "gateway.toml"
    config.write_text(_CONFIG.format(rows=rows, name=MODEL_NAME, source=model))
    secrets = asyncio.run(_issued(home / "state", keys))
    with gateway_serving(home, "--config", config) as gateway:
        yield gateway, secrets


async def _issued(state_dir: Path, count: int) -> list[str]:
    """Make the keys as `gateway keys create --state-dir` does, and return their secrets."""
    await asyncio.to_thread(state_dir.mkdir, mode=0o700)
    registry = await Registry.open(state_dir)
    try:
        issued = IssuedKeys(registry, KeyRing(), serving=False)
        limited = CreateKey(
            name="any",
            role=KeyRole.CHAT,
            max_concurrent=_NO_LIMIT,
            requests_per_min=_NO_LIMIT,
            tokens_per_min=_NO_LIMIT,
        )
        made = [await issued.create(msgspec.structs.replace(limited, name=f"key-{number}")) for number in range(count)]
        return [each.secret for each in made]
    finally:
        await registry.close()


async def _measured(side: _Side) -> Figures:
    process = psutil.Process(side.gateway.process.pid)
    before_s = _cpu_s(process)
    callers = [_ask(side, side.secrets[number % len(side.secrets)]) for number in range(side.streams)]
    answers = await asyncio.gather(*callers)
    used_s = _cpu_s(process) - before_s
    tokens, chunks = (sum(counts) for counts in zip(*answers, strict=True))
    return Figures(
        cpu_us_per_token=1e6 * used_s / tokens if tokens else float("nan"),
        cpu_us_per_chunk=1e6 * used_s / chunks if chunks else float("nan"),
        tokens=tokens,
        errors=sum(not count for count, _ in answers),
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _ask(side: _Side, secret: str) -> tuple[int, int]:
    """Ask for a stream and return how many tokens it had, 0 where it failed, and in how many events they came."""
    place = urlsplit(side.gateway.url)
    body = msgspec.json.encode(
        {
            "model": MODEL_NAME,
            "messages": [{"role": "user", "content": "Go on."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    found = _COUNTED.findall(answer)
    return int(found[-1]) if found else 0, answer.count(_CONTENT)


def _document(results: Results, many: int) -> str:
    environment = results.environment
    errors = sum(figures.errors for figures in (*results.few, *results.many))
    reached = statistics.median(_ratios(results, "cpu_us_per_token")) <= results.target and not errors
    return "\n".join(
        (
            f"{environment.chip}, {environment.cores} cores, load before {environment.load_before:.2f}, "
            f"commit {environment.commit}, median of {len(results.few)} interleaved pairs\n",
            f"| figure | 1 key, {_FEW} streams | {many} keys, {many} streams | ratio, median (least to greatest) |",
            "|---|---|---|---|",
            *(_row(results, name) for name in ("cpu_us_per_token", "cpu_us_per_chunk")),
            "",
            f"errors: {errors}; target for a token: at most {results.target:g}, "
            f"{'reached' if reached else '**missed**'}",
        )
    )


def _row(results: Results, name: str) -> str:
    few, many = (statistics.median(getattr(each, name) for each in side) for side in (results.few, results.many))
    ratios = _ratios(results, name)
    return (
        f"| {name} | {few:.1f} | {many:.1f} "
        f"| {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |"
    )


def _ratios(results: Results, name: str) -> list[float]:
    return [
        getattr(after, name) / getattr(before, name) for before, after in zip(results.few, results.many, strict=True)
    ]


if __name__ == "__main__":
    main()
