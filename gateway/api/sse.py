"""Encode a completion as server-sent events, chunk by chunk."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

import msgspec

from gateway.api.errors import encode_error
from gateway.api.text_event import TextEvent, is_text_alone
from gateway.contracts.chat import ChatCompletionChunk, ChunkChoice, Delta, Usage
from gateway.contracts.logprobs import ChoiceLogprobs
from gateway.contracts.tools import ToolCallDelta
from gateway.errors import GatewayError
from gateway.wire import TokenDelta

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which clients skip."""

_encoder = msgspec.json.Encoder()


def event(data: bytes) -> bytes:
    """Return one event of `data`, which is JSON and so holds no line break."""
    return b"data: " + data + b"\n\n"


class ChunkEncoder:
    """Makes the events of one completion: all have the same id, time and model, and a choice's first has the role.

    Reasoning, text and each call come in chunks of their own, and the finish reason in a last one that says nothing
    else: clients take a chunk for what they find first in it.
    """

    def __init__(
        self, *, completion_id: str, created: int, model: str, system_fingerprint: str, include_usage: bool
    ) -> None:
        self._empty = ChatCompletionChunk(
            id=completion_id,
            created=created,
            model=model,
            system_fingerprint=system_fingerprint,
            choices=(),
            usage=None if include_usage else msgspec.UNSET,
        )
        self._include_usage = include_usage
        self._texts: dict[int, TextEvent] = {}
        """By choice, of those that have had their role."""
        self._call_numbers: defaultdict[int, Iterator[int]] = defaultdict(itertools.count)
        """By choice."""

    def delta(self, index: int, said: TokenDelta) -> bytes:
        """Return the events of what one choice said, or nothing where a later delta says nothing yet."""
        texts = self._texts.get(index)
        if texts is not None and is_text_alone(said):  # nearly every delta there is, so it goes the short way
            return texts.of(said.text) if said.text else b""
        parts = self._parts(index, said)
        if texts is None:
            empty = self._event(ChunkChoice(index=index, delta=Delta(content="")))
            self._texts[index] = TextEvent(empty, b'"delta":{"content":')
            first = parts[0] if parts else Delta(content="")
            # Null is what an answer of calls has for content; left out, it would be undefined.
            content = None if first.content is msgspec.UNSET else first.content
            parts[:1] = [msgspec.structs.replace(first, role="assistant", content=content)]
        logprobs = ChoiceLogprobs(content=said.logprobs) if said.logprobs else None
        choices = [
            ChunkChoice(index=index, delta=part, logprobs=logprobs if isinstance(part.content, str) else None)
            for part in parts
        ]
        if said.finish_reason is not None:
            choices.append(ChunkChoice(index=index, delta=Delta(), finish_reason=said.finish_reason))
        return b"".join(map(self._event, choices))

    def _parts(self, index: int, said: TokenDelta) -> list[Delta]:
        parts: list[Delta] = []
        if said.reasoning:
            parts.append(Delta(reasoning_content=said.reasoning))
        if said.text or said.logprobs:
            parts.append(Delta(content=said.text))
        for call in said.tool_calls:
            number = next(self._call_numbers[index])
            parts.append(Delta(tool_calls=(ToolCallDelta(index=number, id=call.id, function=call.function),)))
        return parts

    def end(self, usage: Usage) -> bytes:
        """Return the trailer, where usage was asked for, and `[DONE]`."""
        if not self._include_usage:
            return DONE
        return event(_encoder.encode(msgspec.structs.replace(self._empty, usage=usage))) + DONE

    def failed(self, error: GatewayError) -> bytes:
        """Return the error as the last event.

        No `[DONE]` follows it: the official client raises at the error and reads no further, and to a client that
        skips what it does not know, `[DONE]` would say that the text is complete.
        """
        return event(encode_error(error))

    def _event(self, choice: ChunkChoice) -> bytes:
        return event(_encoder.encode(msgspec.structs.replace(self._empty, choices=(choice,))))
