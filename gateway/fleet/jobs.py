"""Run a job of the engine's in a child process: progress while it works, its result or its one sentence at the end."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from typing import cast

import msgspec

from gateway.contracts.error_codes import ErrorCode
from gateway.errors import EngineStartFailed, InvalidRequest
from gateway.fleet.blas import engine_environment, find_blas

_MAX_LINE_BYTES = 1024 * 1024

OnProgress = Callable[[float, str], None]
"""Takes the share that is done, in [0, 1], and what is being done."""


def unwatched(_share: float, _message: str) -> None:
    """Progress that nobody looks at."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a job's stdout; `gateway/engine/job.py` says which fields come together."""

    progress: float | None = None
    message: str = ""
    result: dict[str, object] | None = None
    error: str | None = None


_decode = msgspec.json.Decoder(_Line).decode


async def run_job(
    module: str, request: msgspec.Struct, *, on_progress: OnProgress, timeout_s: float
) -> dict[str, object]:
    """Run `python -m module` on the request and return its result.

    Raises InvalidRequest with the job's own sentence, code `model_unreadable`, where it refuses; and EngineStartFailed
    where it dies without a word or takes longer than `timeout_s`. The child is dead when this returns, raises or is
    cancelled; it also ends by itself when this process dies, because its stdin does.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        msgspec.json.encode(request).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=engine_environment(os.environ, find_blas()),
        limit=_MAX_LINE_BYTES,
    )
    # Both are there: pipes were asked for.
    stdout, stderr = cast("asyncio.StreamReader", process.stdout), cast("asyncio.StreamReader", process.stderr)
    last_words = asyncio.create_task(_last_line(stderr))
    try:
        async with asyncio.timeout(timeout_s):
            last = await _follow(stdout, on_progress)
            status = await process.wait()
            detail = await last_words or f"exit status {status}"
    except TimeoutError as error:
        raise EngineStartFailed(f"{module} took longer than {timeout_s:.0f} s and was stopped.") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        last_words.cancel()
    if last.error is not None:
        raise InvalidRequest(last.error, code=ErrorCode.MODEL_UNREADABLE)
    if last.result is None:
        raise EngineStartFailed(f"{module} ended without a result ({detail}).")
    return last.result


async def _follow(stdout: asyncio.StreamReader, on_progress: OnProgress) -> _Line:
    """Hand on the progress until the job closes its stdout, and return its last line."""
    line = _Line()
    async for body in stdout:
        line = _decode(body)
        if line.progress is not None:
            on_progress(line.progress, line.message)
    return line


async def _last_line(stderr: asyncio.StreamReader) -> str:
    """Read to the end, so that the child never waits for a reader, and return the last line that says something."""
    last = ""
    async for line in stderr:
        last = line.decode(errors="replace").strip() or last
    return last
