"""Spawns a real engine process and speaks gateway/wire.py to it, blocking, for tests of the engine alone."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from gateway import wire
from gateway.contracts.scripted import SCRIPT_FILE, read_script
from gateway.contracts.variants import EngineKind, EngineSpec
from gateway.fleet.blas import engine_environment, find_blas

WAIT_S = 30.0
SCRIPTED = Path(__file__).parent / "scripted"


def engine_spec(directory: Path, *, max_rows: int = 8, context_length: int | None = None) -> EngineSpec:
    """Return a spec for the directory; only what the engine itself reads is true."""
    scripted = (directory / SCRIPT_FILE).exists()
    default = read_script(directory).context_length if scripted else 8192
    return EngineSpec(
        kind=EngineKind.SCRIPTED if scripted else EngineKind.MLX,
        path=str(directory),
        weights_digest="0" * 64,
        quantization=None,
        context_length=context_length or default,
        max_rows=max_rows,
        weights_bytes=0,
        kv_bytes_per_token=0,
        disk_bytes=0,
    )


def submit(request_id: str, prompt: str, **overrides: object) -> wire.Submit:
    """Return a greedy request of one user message."""
    request = wire.Submit(
        request_id=request_id,
        messages=(wire.WireMessage(role="user", content=prompt),),
        template_arguments={},
        max_completion_tokens=None,
        completion_limit=None,
        stop=(),
        sampling=wire.Sampling(temperature=0.0),
    )
    return msgspec.structs.replace(request, **overrides)


class Answer(msgspec.Struct):
    """What came back for one request, put together."""

    text: str = ""
    completion_tokens: int = 0
    last: wire.TokenDelta | wire.Rejected | wire.Fault | None = None


class EngineClient:
    """A spawned engine; leaving the context kills it."""

    def __init__(self, spec: EngineSpec, *, settings: str = "{}") -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(WAIT_S)
        environment = engine_environment(os.environ, find_blas()) | {
            "GATEWAY_ENGINE_SPEC": msgspec.json.encode(spec).decode(),
            "GATEWAY_ENGINE_SETTINGS": settings,
        }
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.engine", "--fd", str(theirs.fileno())],
                env=environment,
                pass_fds=(theirs.fileno(),),
                stderr=subprocess.PIPE,
                text=True,
            )
        self._buffer = bytearray()
        self._messages: list[wire.FromEngine] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait(WAIT_S)
        if self.process.stderr:
            self.process.stderr.close()

    def send(self, *messages: wire.ToEngine) -> None:
        self.connection.sendall(b"".join(wire.encode_frame(message) for message in messages))

    def receive(self) -> wire.FromEngine:
        """Return the next message, and start what is accepted.

        Raises EOFError where the engine is gone and TimeoutError where it is silent.
        """
        while not self._messages:
            received = self.connection.recv(65536)
            if not received:
                raise EOFError
            self._buffer += received
            self._messages.extend(wire.decode_from_engine(body) for body in wire.take_frames(self._buffer))
        message = self._messages.pop(0)
        if isinstance(message, wire.Accepted):
            self.send(wire.Start(request_id=message.request_id, max_tokens=message.max_tokens))
        return message

    def ready(self) -> wire.Ready:
        message = self.receive()
        assert isinstance(message, wire.Ready), message
        return message

    def answers(self, *request_ids: str) -> dict[str, Answer]:
        """Receive until each of the requests has had its last message."""
        answers = {request_id: Answer() for request_id in request_ids}
        while any(answer.last is None for answer in answers.values()):
            message = self.receive()
            if isinstance(message, wire.Rejected | wire.Fault) and message.request_id in answers:
                answers[message.request_id].last = message
            for delta in message.deltas if isinstance(message, wire.Step) else ():
                answer = answers.setdefault(delta.request_id, Answer())
                answer.text += delta.text
                answer.completion_tokens = delta.completion_tokens
                if delta.finish_reason:
                    answer.last = delta
        return answers

    def ask(self, request: wire.Submit) -> Answer:
        self.send(request)
        return self.answers(request.request_id)[request.request_id]

    def step_until(self, condition: str, deadline_s: float = WAIT_S) -> wire.Step:
        """Receive until a Step holds no rows (`idle`) or carries a delta (`delta`)."""
        ends = time.monotonic() + deadline_s
        while time.monotonic() < ends:
            message = self.receive()
            if isinstance(message, wire.Step) and (message.rows == 0 if condition == "idle" else message.deltas):
                return message
        raise TimeoutError(condition)
