"""A message's answers, whole and as the events of Anthropic's Messages API."""

from collections.abc import Mapping

import msgspec

from gateway.anthropic import SIGNATURE, blocks_of, ending_of, named, tool_use_id
from gateway.api.completion import finish_reason_of, usage_of
from gateway.api.errors import encode_anthropic_error
from gateway.api.form import Head
from gateway.api.text_event import TextEvent
from gateway.contracts.anthropic import (
    AddedInput,
    AddedSignature,
    AddedText,
    AddedThinking,
    Block,
    BlockDelta,
    BlockStart,
    BlockStop,
    Ending,
    Message,
    MessageEnd,
    MessageRequest,
    MessageStart,
    MessageStop,
    MessageUsage,
    OutputTokensDetails,
    StreamEvent,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from gateway.contracts.chat import Usage
from gateway.contracts.tools import ToolCall
from gateway.errors import GatewayError
from gateway.wire import TokenDelta

_encoder = msgspec.json.Encoder()


class MessageForm:
    id_prefix = "msg_"
    prompts_count = 1

    def __init__(self, request: MessageRequest) -> None:
        self._thinking_shown = request.thinking is None or request.thinking.display != "omitted"

    def whole(self, head: Head, lasts: Mapping[int, TokenDelta], usage: Usage) -> Message:
        said = lasts[0]
        finish_reason_of(said)
        ending = ending_of(said)
        return Message(
            id=head.id,
            model=head.model,
            content=tuple(blocks_of(said, thinking_shown=self._thinking_shown)),
            stop_reason=ending.stop_reason,
            stop_sequence=ending.stop_sequence,
            usage=_usage(usage),
        )

    def chunks(self, head: Head) -> "MessageChunks":
        return MessageChunks(head, thinking_shown=self._thinking_shown)

    def named(self, error: GatewayError) -> GatewayError:
        return named(error)


class MessageChunks:
    """Blocks are told one after another, each from its beginning to its end; the first event comes with the first text.

    Before that an error can still have its own HTTP status, as everywhere here, and the prompt's tokens are known.
    """

    def __init__(self, head: Head, *, thinking_shown: bool) -> None:
        self._head = head
        self._thinking_shown = thinking_shown
        self._started = False
        self._index = 0
        """Of the block that grows, or of the next one."""
        self._words: TextEvent | None = None
        """Of the block that grows, where that is text."""
        self._thoughts: TextEvent | None = None
        """Of the block that grows, where that is thinking."""
        self._ending = Ending(stop_reason="end_turn")

    def delta(self, _: int, said: TokenDelta) -> bytes:
        events = b"" if self._started else self._start(said)
        if said.reasoning:
            events += self._think(said.reasoning)
        if said.text:
            events += self._say(said.text)
        for call in said.tool_calls:
            events += self._call(call)
        if said.finish_reason is not None:
            self._ending = ending_of(said)
        return events

    def end(self, usage: Usage) -> bytes:
        return self._close() + _event(MessageEnd(delta=self._ending, usage=_usage(usage))) + _event(MessageStop())

    def failed(self, error: GatewayError) -> bytes:
        """Return the error as the last event: what grows is not closed, for it is not whole."""
        return b"event: error\ndata: " + encode_anthropic_error(error) + b"\n\n"

    def _start(self, said: TokenDelta) -> bytes:
        self._started = True
        message = Message(
            id=self._head.id,
            model=self._head.model,
            content=(),
            stop_reason=None,
            stop_sequence=None,
            usage=_usage(usage_of(self._head.prompt_tokens, said)),
        )
        return _event(MessageStart(message=message))

    def _think(self, text: str) -> bytes:
        events = b""
        if self._thoughts is None:
            events = self._close() + self._open(ThinkingBlock(thinking="", signature=""))
            self._thoughts = TextEvent(self._added(AddedThinking(thinking="")), b'"thinking":')
        return events + self._thoughts.of(text) if self._thinking_shown else events

    def _say(self, text: str) -> bytes:
        events = b""
        if self._words is None:
            events = self._close() + self._open(TextBlock(text=""))
            self._words = TextEvent(self._added(AddedText(text="")), b'"text":')
        return events + self._words.of(text)

    def _call(self, call: ToolCall) -> bytes:
        begun = ToolUseBlock(id=tool_use_id(call), name=call.function.name, input=msgspec.Raw(b"{}"))
        events = self._close() + self._open(begun)
        return events + self._added(AddedInput(partial_json=call.function.arguments)) + self._stop()

    def _open(self, empty: Block) -> bytes:
        return _event(BlockStart(index=self._index, content_block=empty))

    def _close(self) -> bytes:
        """Return the last events of the block that grows, if one does."""
        if self._words is None and self._thoughts is None:
            return b""
        events = b"" if self._thoughts is None else self._added(AddedSignature(signature=SIGNATURE))
        self._words = self._thoughts = None
        return events + self._stop()

    def _stop(self) -> bytes:
        self._index += 1
        return _event(BlockStop(index=self._index - 1))

    def _added(self, delta: AddedText | AddedThinking | AddedSignature | AddedInput) -> bytes:
        return _event(BlockDelta(index=self._index, delta=delta))


def _event(event: StreamEvent) -> bytes:
    return b"event: " + event.type.encode() + b"\ndata: " + _encoder.encode(event) + b"\n\n"


def _usage(usage: Usage) -> MessageUsage:
    cached = usage.prompt_tokens_details.cached_tokens
    return MessageUsage(
        input_tokens=usage.prompt_tokens - cached,
        cache_read_input_tokens=cached,
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(thinking_tokens=usage.completion_tokens_details.reasoning_tokens),
    )
