"""The programs that are compared, each in a process of its own with the same BLAS: started, asked, stopped."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx
import msgspec
import psutil

from gateway.fleet.blas import engine_environment, find_blas
from tests.bench import http_load, vllm_mlx
from tests.bench.bare import GapReference, GapTimes, Job, Run
from tests.bench.workload import Trace, Workload

UVICORN = ("uvicorn", "--http", "httptools", "--no-access-log", "--log-level", "error")
START_TIMEOUT_S = 600.0
_STOP_TIMEOUT_S = 20.0
MODEL_NAME = "bench"
_CONFIG = """
state_dir = "{state_dir}"
[engine]
max_rows = {max_rows}
[queue.interactive]
max_queued = {max_queued} # fewer places than a burst has clients, so that some are refused
[log]
level = "error"
[[deployments]]
model = "{name}"
source = "{source}"
"""


class Unavailable(Exception):
    """A contender cannot take part here; the text says why."""


class Contender(Protocol):
    name: str

    async def run(self, workload: Workload) -> list[Trace]: ...

    def http_cpu_s(self) -> float:
        """Return the CPU time that the process which speaks HTTP has used so far, its children not counted."""
        ...

    async def stop(self) -> None: ...


class HttpContender:
    """A server that is running and ready."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, target: http_load.Target) -> None:
        self.name = name
        self._process = process
        self._target = target

    async def run(self, workload: Workload) -> list[Trace]:
        return await http_load.run(workload, self._target)

    def http_cpu_s(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    async def stop(self) -> None:
        await _stop(self._process)


class BareContender:
    """`tests.bench.bare` in its process."""

    name = "bare"

    def __init__(self, process: asyncio.subprocess.Process, max_rows: int) -> None:
        self._process = process
        self._max_rows = max_rows

    async def run(self, workload: Workload) -> list[Trace]:
        return msgspec.json.decode(await self._ask(Run(workload, self._max_rows)), type=list[Trace])

    async def gap_times(self, job: GapReference) -> GapTimes:
        return msgspec.json.decode(await self._ask(job), type=GapTimes)

    def http_cpu_s(self) -> float:
        return 0.0

    async def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await _stop(self._process)

    async def _ask(self, job: Job) -> bytes:
        if self._process.stdin is None or self._process.stdout is None:
            raise Unavailable("bare was started without pipes")
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise Unavailable("bare ended; its error stands above")
        return line


async def start(name: str, model: Path, *, max_rows: int, scratch: Path) -> Contender:
    """Start a contender on a model, with so many rows in a batch at most. Raises Unavailable."""
    match name:
        case "gateway":
            return await _start_gateway(model, max_rows, scratch)
        case "mlx_lm.server":
            command = (sys.executable, "-m", "mlx_lm.server", "--model", str(model), "--log-level", "ERROR")
            rows = ("--decode-concurrency", str(max_rows))
            return await _start_server(name, (*command, *rows), model=str(model), health="/health", scratch=scratch)
        case "vllm-mlx":
            try:
                program = await asyncio.to_thread(vllm_mlx.program)
            except vllm_mlx.NotInstalledError as error:
                raise Unavailable(str(error)) from error
            command = (str(program), "serve", str(model), "--continuous-batching", "--max-num-seqs", str(max_rows))
            return await _start_server(name, command, model=str(model), health="/v1/models", scratch=scratch)
        case "litestar":
            command = (sys.executable, "-m", *UVICORN, "--loop", "asyncio", "tests.bench.paced_litestar:app")
            return await _start_server(name, command, model="paced", health="/health", scratch=scratch)
        case "bare":
            return await _start_bare(model, max_rows, scratch)
        case _:
            raise Unavailable(f"nobody knows a contender {name}")


async def _start_gateway(model: Path, max_rows: int, scratch: Path) -> HttpContender:
    directory = scratch / f"gateway-{time.monotonic_ns()}"
    directory.mkdir()
    config = directory / "gateway.toml"
    config.write_text(
        _CONFIG.format(
            state_dir=directory / "state", max_rows=max_rows, max_queued=2 * max_rows, name=MODEL_NAME, source=model
        )
    )
    command = (str(Path(sys.executable).parent / "gateway"), "serve", "--config", str(config))
    return await _start_server("gateway", command, model=MODEL_NAME, health="/ready", scratch=directory, pin=model.name)


async def _start_server(
    name: str, command: Sequence[str], *, model: str, health: str, scratch: Path, pin: str | None = None
) -> HttpContender:
    port = free_port()
    with (scratch / f"{name}-{port}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, "--port", str(port), env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await wait_until_ready(process, url + health)
    except TimeoutError:
        await _stop(process)
        raise Unavailable(f"{name} was not ready within {START_TIMEOUT_S:g} s") from None
    except Unavailable as error:
        last = await asyncio.to_thread(_last_line, Path(log.name))
        raise Unavailable(f"{name} {error}: {last[:200]}") from error
    return HttpContender(name, process, http_load.Target(url, model, pin))


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]


async def wait_until_ready(process: asyncio.subprocess.Process, url: str) -> None:
    async with asyncio.timeout(START_TIMEOUT_S), httpx.AsyncClient(trust_env=False) as client:
        while True:
            if process.returncode is not None:
                raise Unavailable(f"exited with status {process.returncode}")
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).is_success:
                    return
            await asyncio.sleep(0.1)


async def _start_bare(model: Path, max_rows: int, scratch: Path) -> BareContender:
    with (scratch / "bare.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.bare",
            str(model),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            limit=256 * 1024 * 1024,
        )
    if process.stdout is None or not await process.stdout.readline():
        raise Unavailable(f"bare did not load {model}; see {log.name}")
    return BareContender(process, max_rows)


def _environment() -> dict[str, str]:
    """Return one environment for all, in which no hub is asked for a model that lies here."""
    return engine_environment({**os.environ, "HF_HUB_OFFLINE": "1"}, find_blas())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
