"""Spawn an engine process, speak with it over a socket pair, and learn how it ended."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping

import msgspec

from gateway.contracts.variants import EngineSpec
from gateway.fleet.budget import Share
from gateway.settings import EngineSettings
from gateway.wire import FromEngine, Stop, ToEngine, decode_from_engine, encode_frame, take_frames

_READ_BYTES = 256 * 1024


class ProcessExit(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended, as far as its parent can know."""

    status: int
    """Exit status, or minus the signal's number."""
    last_line: str
    """The last line it wrote to standard error."""

    @property
    def reason(self) -> str:
        """From a closed set, for a metric: `exited`, or the signal's name in lower case."""
        if self.status >= 0:
            return "exited"
        try:
            return signal.Signals(-self.status).name.lower()
        except ValueError:
            return "signal"

    @property
    def sentence(self) -> str:
        ended = f"exited with status {self.status}" if self.status >= 0 else f"was ended by {self.reason.upper()}"
        return f"{ended}: {self.last_line}" if self.last_line else ended


class EngineProcess:
    """One child. It knows messages and nothing of requests.

    The child lives in a session of its own, so that a Ctrl-C at the terminal reaches the gateway alone; that it never
    outlives the gateway is the socket's doing: the gateway's end closes with the gateway, whatever ended it.
    """

    def __init__(
        self, child: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer
        self._last_line = ""
        self._stderr_task = asyncio.create_task(self._read_stderr())

    @classmethod
    async def spawn(
        cls, spec: EngineSpec, settings: EngineSettings, share: Share, environ: Mapping[str, str]
    ) -> "EngineProcess":
        """Start the child for this EngineSpec; it loads and then says Ready or LoadFailed."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                reader, writer = await asyncio.open_connection(sock=ours)
                child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "gateway.engine",
                    "--fd",
                    str(theirs.fileno()),
                    env=_environment(spec, settings, share, environ),
                    stdin=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        return cls(child, reader, writer)

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, message: ToEngine) -> None:
        """Queue a message; one that can no longer arrive is dropped, as the end of `messages` tells."""
        if not self._writer.is_closing():
            self._writer.write(encode_frame(message))

    async def messages(self) -> AsyncIterator[list[FromEngine]]:
        """Yield messages as they come, in batches of what one read brought; end when the child is gone."""
        buffer = bytearray()
        while True:
            try:
                data = await self._reader.read(_READ_BYTES)
            except ConnectionError:
                return
            if not data:
                return
            buffer += data
            if bodies := take_frames(buffer):
                yield [decode_from_engine(body) for body in bodies]

    async def wait(self) -> ProcessExit:
        """Wait for the child's end and reap it."""
        status = await self._child.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):  # a grandchild may hold the pipe open
                await self._stderr_task
        self._stderr_task.cancel()
        self._writer.close()
        return ProcessExit(status=status, last_line=self._last_line)

    async def stop(self, timeout_s: float) -> ProcessExit:
        """Ask the child to exit; kill it where it does not within the limit."""
        self.send(Stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await self.wait()
        self.kill()
        return await self.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()

    async def _read_stderr(self) -> None:
        stream = self._child.stderr
        if stream is None:
            return
        with contextlib.suppress(ValueError):  # a line beyond the stream's limit: what follows is not worth keeping
            async for line in stream:
                if text := line.decode(errors="replace").strip():
                    self._last_line = text[:500]


def _environment(
    spec: EngineSpec, settings: EngineSettings, share: Share, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the child's environment: the fleet's, and its orders."""
    orders = {
        "GATEWAY_ENGINE_SPEC": msgspec.json.encode(spec).decode(),
        "GATEWAY_ENGINE_SETTINGS": msgspec.json.encode(
            {
                "prefill_step_tokens": settings.prefill_step_tokens,
                "prefix_cache_bytes": share.prefix_cache_bytes,
                "prefix_cache_dir": settings.prefix_cache_dir,
                "prefix_cache_dir_bytes": settings.prefix_cache_dir_bytes,
                "cache_limit_bytes": settings.cache_limit_bytes,
                "memory_limit_bytes": share.memory_limit_bytes,
                "score_chunk_tokens": settings.score_chunk_tokens,
            }
        ).decode(),
    }
    return {**environ, "PYTHONUNBUFFERED": "1", **orders}
