"""What the sandbox's two processes say to each other: length-prefixed msgpack over a socket pair."""

import socket
import struct

import msgspec

from canary.programs.behaviour import Behaviour, Failure
from canary.programs.tools import Catalogue
from canary.programs.worlds import World

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct("!I")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one run. The sandbox enforces them inside, the child process and its rlimits around it."""

    time_s: float = 1.0
    """Of the program alone: the clock stands while a tool is called."""
    memory_bytes: int = 64 * 1024 * 1024
    output_bytes: int = 64 * 1024
    """Printed, and again as the result."""
    calls_count: int = 100


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Run each of these programs in each of these worlds."""

    sources: tuple[str, ...]
    tools: Catalogue
    worlds: tuple[World, ...]
    wants_result: bool
    limits: Limits


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    outcomes: tuple[tuple[Behaviour | Failure, ...], ...]
    """For each program, one for each world. One that met a limit is not run again: the rest repeat that failure."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The child's first message: the parts of the belt that this platform let it put on."""

    belt: tuple[str, ...]


class ConnectionEnded(Exception):
    """The other process is gone."""


def send(connection: socket.socket, message: Request | Reply | Hello) -> None:
    """Raises ConnectionEnded, and OSError where a limit set on the socket passed."""
    body = msgspec.msgpack.encode(message)
    try:
        connection.sendall(_LENGTH.pack(len(body)) + body)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise ConnectionEnded from error


def receive(connection: socket.socket) -> bytes:
    """Return one message's bytes. Raises ConnectionEnded, and TimeoutError where a limit set on the socket passed."""
    (length,) = _LENGTH.unpack(_read_exactly(connection, _LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise ConnectionEnded
    return _read_exactly(connection, length)


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = connection.recv(count - len(parts))
        except ConnectionResetError as error:
            raise ConnectionEnded from error
        if not part:
            raise ConnectionEnded
        parts += part
    return bytes(parts)
