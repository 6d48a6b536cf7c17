"""Encode a completion as server-sent events, chunk by chunk."""

import msgspec

from gateway.contracts.chat import ChatCompletionChunk, ChunkChoice, Delta, Usage
from gateway.wire import TokenDelta

DONE = b"data: [DONE]\n\n"

_encoder = msgspec.json.Encoder()


def event(data: bytes) -> bytes:
    """Return one event of `data`, which is JSON and so holds no line break."""
    return b"data: " + data + b"\n\n"


class ChunkEncoder:
    """Makes the events of one completion: all have the same id, time and model, and the first has the role."""

    def __init__(
        self, *, completion_id: str, created: int, model: str, system_fingerprint: str, include_usage: bool
    ) -> None:
        self._completion_id = completion_id
        self._created = created
        self._model = model
        self._system_fingerprint = system_fingerprint
        self._include_usage = include_usage
        self._started = False

    def delta(self, token_delta: TokenDelta) -> bytes:
        """Return the event of one delta, or nothing where a later one says nothing yet."""
        finish_reason = token_delta.finish_reason
        if not self._started:
            self._started = True
            delta = Delta(role="assistant", content=token_delta.text)
        elif token_delta.text:
            delta = Delta(content=token_delta.text)
        elif finish_reason is None:
            return b""
        else:
            delta = Delta()
        choice = ChunkChoice(index=0, delta=delta, finish_reason=finish_reason)
        return self._event((choice,), None if self._include_usage else msgspec.UNSET)

    def usage(self, usage: Usage) -> bytes:
        """Return the trailer's event, or nothing where usage was not asked for."""
        return self._event((), usage) if self._include_usage else b""

    def _event(self, choices: tuple[ChunkChoice, ...], usage: Usage | None | msgspec.UnsetType) -> bytes:
        chunk = ChatCompletionChunk(
            id=self._completion_id,
            created=self._created,
            model=self._model,
            system_fingerprint=self._system_fingerprint,
            choices=choices,
            usage=usage,
        )
        return event(_encoder.encode(chunk))
