"""`python -m tests.bench.http_servers`: what a chunk costs each ASGI server, with nothing behind it.

64 streams get a chunk of a chat completion every 5 ms, all at once, as an engine's steps come: chunks do not come
together, as they do where a stream writes as fast as it may. Servers and event loops that are not installed are left
out (`pip install granian uvloop`). Prints a table of CPU time, threads and children of the server counted.

    python -m tests.bench.http_servers
    python -m tests.bench.http_servers --repeats 3
"""

import asyncio
import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import psutil

from tests.bench import http_load, measures, prompts
from tests.bench.contenders import UVICORN, Unavailable, free_port, wait_until_ready
from tests.bench.environment import describe

_STREAMS = 64
_APP = "tests.bench.paced_app:app"
_ROOT = Path(__file__).parents[2]
_GRANIAN = ("granian", "--interface", "asginl", "--workers", "1", "--no-ws", "--log-level", "error")
_SERVERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "uvicorn": ((*UVICORN, "--loop", "asyncio"), ("uvicorn", "httptools")),
    "uvicorn on uvloop": ((*UVICORN, "--loop", "uvloop"), ("uvicorn", "httptools", "uvloop")),
    "granian": ((*_GRANIAN, "--loop", "asyncio"), ("granian",)),
    "granian on uvloop": ((*_GRANIAN, "--loop", "uvloop"), ("granian", "uvloop")),
}
"""Arguments, and the packages that these take."""


@click.command()
@click.option("--repeats", default=7, show_default=True, type=click.IntRange(1))
@click.option("--streams", default=_STREAMS, show_default=True, type=click.IntRange(1))
def main(*, repeats: int, streams: int) -> None:
    asyncio.run(_measure(repeats, streams))


async def _measure(repeats: int, streams: int) -> None:
    found: dict[str, list[float]] = {}
    started: dict[str, tuple[asyncio.subprocess.Process, str]] = {}
    with tempfile.TemporaryFile() as log:
        try:
            for name, (arguments, packages) in _SERVERS.items():
                if all(importlib.util.find_spec(package) for package in packages):
                    started[name] = await _start(arguments, log.fileno())
                    found[name] = []
            for repeat in range(repeats):
                for name, (process, url) in started.items():
                    found[name].append(await _cpu_us_per_chunk(process.pid, url, streams, draw=f"{name}-{repeat}"))
        finally:
            for process, _ in started.values():
                process.terminate()
                await process.wait()
    click.echo(_table(found, repeats, streams))


async def _start(arguments: Sequence[str], log: int) -> tuple[asyncio.subprocess.Process, str]:
    port = free_port()
    command = (sys.executable, "-m", *arguments, "--port", str(port), _APP)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await wait_until_ready(process, url + "/health")
    except Unavailable as error:
        raise click.ClickException(f"{arguments[0]} {error}.") from error
    return process, url


async def _cpu_us_per_chunk(pid: int, url: str, streams: int, *, draw: str) -> float:
    workload = prompts.closed_loop(streams=streams, requests=streams, prompt_tokens=8, max_tokens=(1,), draw=draw)
    before_s = _cpu_s(pid)
    traces = await http_load.run(workload, http_load.Target(url, "paced"))
    used_s = _cpu_s(pid) - before_s
    if measures.error_count(traces):
        message = f"{measures.error_count(traces)} of {len(traces)} requests failed"
        raise click.ClickException(message)
    return 1e6 * used_s / sum(len(trace.delta_times_s) for trace in traces)


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _table(found: dict[str, list[float]], repeats: int, streams: int) -> str:
    environment = describe()
    rows = [
        f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} to {max(values):.1f} |"
        for name, values in found.items()
    ]
    return "\n".join(
        (
            f"{environment.chip}, {streams} streams, {repeats} interleaved runs, commit {environment.commit}",
            "",
            "| server | CPU a chunk, us: median | range |",
            "|---|---:|---:|",
            *rows,
        )
    )


if __name__ == "__main__":
    main()
