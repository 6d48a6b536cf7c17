"""What tells the answers of one generating route from those of another: the shape of their JSON, and its names."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from gateway.contracts.chat import Usage
from gateway.errors import GatewayError
from gateway.wire import TokenDelta


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer and each of its chunks begin with."""

    id: str
    created: int
    """Unix time in seconds."""
    model: str
    system_fingerprint: str
    prompt_tokens: int = 0
    """0 until the engine has said it, which is before its first word."""


class Chunks(Protocol):
    """Makes the events of one streamed answer."""

    def delta(self, index: int, said: TokenDelta, /) -> bytes:
        """Return the events of what one choice said, or nothing where it says nothing yet."""
        ...

    def end(self, usage: Usage) -> bytes:
        """Return the last events of an answer that came to its end."""
        ...

    def failed(self, error: GatewayError) -> bytes:
        """Return the last events of an answer that broke off."""
        ...


class Form(Protocol):
    """Of one request."""

    id_prefix: str
    prompts_count: int

    def whole(self, head: Head, lasts: Mapping[int, TokenDelta], usage: Usage) -> msgspec.Struct:
        """Return the answer in one piece, from the delta of each choice, by index, that says all.

        Raises EngineFault where a choice has no end.
        """
        ...

    def chunks(self, head: Head) -> Chunks: ...

    def named(self, error: GatewayError) -> GatewayError:
        """Return the error with the names that the fields have on this route."""
        ...
