"""Spawn an engine process, speak with it over a socket pair, and learn how it ended."""

import asyncio
import contextlib
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from gateway.contracts.variants import EngineSpec
from gateway.fleet.budget import Share
from gateway.fleet.failure import ProcessExit
from gateway.fleet.leftovers import Leftovers
from gateway.settings import EngineSettings
from gateway.wire import FromEngine, Stop, ToEngine, decode_from_engine, encode_frame, take_frames

Spawn = Callable[[EngineSpec, Share], Awaitable["EngineProcess"]]
"""Starts a process for a spec, with its share of the memory. Raises OSError where none can be started."""

_READ_BYTES = 256 * 1024
_LINE_LIMIT = 500
"""Characters of a line of standard error that are kept."""
_LAST_LINES = 8
_LAST_WORDS_S = 30.0
"""Before its end: what a process wrote earlier says nothing of how it ended. Writing a core file takes its time."""


class EngineProcess:
    """One child. It knows messages and nothing of requests.

    The child lives in a session of its own, so that a Ctrl-C at the terminal reaches the gateway alone; that it never
    outlives the gateway is the socket's doing: the gateway's end closes with the gateway, whatever ended it.
    """

    def __init__(
        self,
        child: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        on_end: Callable[[], None],
    ) -> None:
        self._child = child
        self._on_end = on_end
        self._reader = reader
        self._writer = writer
        self._last_lines: deque[tuple[float, str]] = deque(maxlen=_LAST_LINES)
        """With the time of each."""
        self._unsent = bytearray()
        self._stderr_task = asyncio.create_task(self._read_stderr())

    @classmethod
    async def spawn(
        cls,
        spec: EngineSpec,
        share: Share,
        *,
        settings: EngineSettings,
        environ: Mapping[str, str],
        leftovers: Leftovers,
    ) -> "EngineProcess":
        """Start the child for this EngineSpec; it loads and then says Ready or LoadFailed.

        It is noted among the leftovers until it has ended. Raises OSError where no process can be started.
        """
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
        leftovers.note(child.pid)
        return cls(child, reader, writer, on_end=lambda: leftovers.forget(child.pid))

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, message: ToEngine) -> None:
        """Queue a message; one that can no longer arrive is dropped, as the end of `messages` tells.

        It goes out at the end of the event loop's turn, with what else the turn brings: each write wakes the child.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += encode_frame(message)

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
        self._on_end()
        await asyncio.wait([self._stderr_task], timeout=1.0)  # a grandchild may hold the pipe open
        self._stderr_task.cancel()
        self._writer.close()
        since_s = time.monotonic() - _LAST_WORDS_S
        return ProcessExit(status=status, last_lines=tuple(line for at_s, line in self._last_lines if at_s >= since_s))

    async def ended(self, limit_s: float) -> ProcessExit:
        """Reap a child that has hung up; kill it where it does not end within the limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                return await self.wait()
        self.kill()
        return await self.wait()

    async def stop(self, timeout_s: float) -> ProcessExit:
        """Ask the child to exit; kill it where it does not within the limit."""
        self.send(Stop())
        return await self.ended(timeout_s)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, bytearray()
        if not self._writer.is_closing():
            self._writer.write(unsent)

    async def _read_stderr(self) -> None:
        """Read on whatever comes, or a child with much to say would stand still before a full pipe."""
        stream = self._child.stderr
        if stream is None:
            return
        unfinished = b""
        while data := await stream.read(_READ_BYTES):
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                self._keep(line)
            unfinished = unfinished[: 4 * _LINE_LIMIT]
        self._keep(unfinished)

    def _keep(self, line: bytes) -> None:
        if text := line.decode(errors="replace").strip():
            self._last_lines.append((time.monotonic(), text[:_LINE_LIMIT]))


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
