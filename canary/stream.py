"""Read one streamed chat completion: server-sent events in, text and times out."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from gateway.contracts.chat import ChatCompletionChunk, ErrorBody, ErrorObject, FinishReason
from gateway.contracts.evaluations import Completion

_DATA = "data:"
_DONE = "[DONE]"

_decode_event = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_chunk = msgspec.json.Decoder(ChatCompletionChunk).decode
_decode_error = msgspec.json.Decoder(ErrorBody).decode


class StreamBroken(Exception):
    """The stream ended, or became unreadable, before its terminal event."""


class StreamRefused(Exception):
    """The terminal event is an error."""

    def __init__(self, error: ErrorObject) -> None:
        super().__init__(error.message)
        self.error = error


def read_completion(
    lines: Iterable[str], *, started_s: float, clock: Callable[[], float], limit_s: float
) -> Completion:
    """Consume the stream and return the completion, timed from `started_s` as `clock` counts.

    Raises StreamRefused where the stream ends with an error, and StreamBroken where it ends with nothing, says what is
    no chunk, carries no usage, or lasts longer than `limit_s`.
    """
    parts: list[str] = []
    finish_reason: FinishReason | None = None
    usage = None
    first_s = last_s = None
    for chunk in _chunks(lines):
        now_s = clock()
        if now_s - started_s > limit_s:
            raise StreamBroken(f"the answer took longer than {limit_s:.0f} s")
        if isinstance(chunk.usage, msgspec.Struct):
            usage = chunk.usage
        for choice in chunk.choices:
            if choice.delta.content:
                parts.append(choice.delta.content)
                first_s = now_s if first_s is None else first_s
            if choice.delta.content or choice.finish_reason:
                last_s = now_s
            finish_reason = choice.finish_reason or finish_reason
    if finish_reason is None or usage is None or last_s is None:
        raise StreamBroken("the stream ended without a finish reason or without usage")
    return Completion(
        text="".join(parts),
        finish_reason=finish_reason,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens,
        # An answer without text has its first token where it ends.
        time_to_first_token_s=(last_s if first_s is None else first_s) - started_s,
        generation_time_s=last_s - started_s,
    )


def _chunks(lines: Iterable[str]) -> Iterator[ChatCompletionChunk]:
    for line in lines:
        if not line.startswith(_DATA):
            continue  # a comment that keeps the connection alive, an event's name, or the blank line after an event
        data = line[len(_DATA) :].strip()
        if data == _DONE:
            return
        try:
            if "error" in _decode_event(data):
                raise StreamRefused(_decode_error(data).error)
            yield _decode_chunk(data)
        except msgspec.DecodeError as error:
            raise StreamBroken(f"an event of the stream cannot be read: {error}") from error
    raise StreamBroken("the stream ended before its terminal event")
