"""What the HTTP process and an engine process say to each other, and how it is framed.

A frame is the length of its body (4 bytes, big-endian) and the body (msgpack of one message). Both ends are ours and
are started together from one installation, so the messages carry no version.
"""

import struct

import msgspec

from gateway.contracts.admin import EngineMemory
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode

_LENGTH = struct.Struct("!I")
MAX_FRAME_BYTES = 64 * 1024 * 1024


# --- to the engine ---


class WireMessage(msgspec.Struct, frozen=True):
    role: str
    content: str


class Submit(msgspec.Struct, frozen=True, kw_only=True, tag="submit"):
    """Run one request. Everything is decided: defaults are applied, only the context's length is still unknown."""

    request_id: str
    messages: tuple[WireMessage, ...]
    template_arguments: dict[str, bool | int | float | str]
    max_completion_tokens: int | None
    """None takes what the context leaves, up to `completion_limit`."""
    completion_limit: int | None
    stop: tuple[str, ...]
    temperature: float
    top_p: float
    seed: int | None


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Forget a request; nothing is answered. One that is unknown or finished is ignored."""

    request_id: str


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """Exit with status 0 as soon as the running step ends."""


ToEngine = Submit | Cancel | Stop


# --- from the engine ---


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """Sent once, when the model is loaded and warm."""

    device: str
    """`metal`, `cpu` or `scripted`."""
    dequantised: bool
    load_time_s: float
    active_after_load_bytes: int
    context_length: int
    recommended_working_set_bytes: int | None
    """As the device says; None where it says nothing."""
    chip: str


class LoadFailed(msgspec.Struct, frozen=True, kw_only=True, tag="load_failed"):
    """Sent instead of Ready; the process exits after it."""

    message: str
    """One readable sentence: what is wrong with which file, and the remedy."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted"):
    """The request is valid and stands in line to be inserted. Comes before its first delta."""

    request_id: str
    prompt_tokens: int


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected"):
    """The request cannot run. Its only answer."""

    request_id: str
    code: ErrorCode
    message: str
    param: str | None


class TokenDelta(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one step added to one request."""

    request_id: str
    text: str
    """Complete characters; may be empty while a character or a stop string is pending."""
    completion_tokens: int
    """Generated so far, the end-of-sequence token counted."""
    finish_reason: FinishReason | None
    """Set on the last delta of a request."""


class Step(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """All that happened since the last Step: one message however many rows run."""

    deltas: tuple[TokenDelta, ...]
    rows: int
    """Rows that are held after the step, prefilling or decoding."""
    memory: EngineMemory


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """A request ended by an error of the engine's own; serving goes on."""

    request_id: str
    message: str


FromEngine = Ready | LoadFailed | Accepted | Rejected | Step | Fault

_encoder = msgspec.msgpack.Encoder()
decode_to_engine = msgspec.msgpack.Decoder[ToEngine](ToEngine).decode
decode_from_engine = msgspec.msgpack.Decoder[FromEngine](FromEngine).decode


class FramingError(Exception):
    """The peer announced a frame longer than any message of ours: the stream is not to be trusted any more."""


def encode_frame(message: ToEngine | FromEngine) -> bytes:
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def take_frames(buffer: bytearray) -> list[bytes]:
    """Cut the whole frames off the front of the buffer and return their bodies; a partial frame stays in it.

    Raises FramingError where a length is beyond MAX_FRAME_BYTES.
    """
    bodies: list[bytes] = []
    start = 0
    while len(buffer) - start >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, start)
        if length > MAX_FRAME_BYTES:
            message = f"frame of {length} bytes"
            raise FramingError(message)
        end = start + _LENGTH.size + length
        if len(buffer) < end:
            break
        bodies.append(bytes(buffer[start + _LENGTH.size : end]))
        start = end
    del buffer[:start]
    return bodies
