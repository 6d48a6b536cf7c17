"""A response's answers, whole and as the events of OpenAI's Responses API."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from gateway.api.completion import finish_reason_of
from gateway.api.errors import TABLE
from gateway.api.form import Head
from gateway.contracts.chat import FinishReason, Usage
from gateway.contracts.logprobs import TokenLogprob, TopLogprob
from gateway.contracts.response_format import TextFormat
from gateway.contracts.responses import (
    ArgumentsDelta,
    ArgumentsDone,
    FunctionCall,
    IncompleteDetails,
    InputTokensDetails,
    ItemEvent,
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputTextPart,
    OutputTokensDetails,
    PartEvent,
    ReasoningDelta,
    ReasoningDone,
    ReasoningItem,
    ReasoningOptions,
    ReasoningTextPart,
    Response,
    ResponseError,
    ResponseEvent,
    ResponseRequest,
    ResponseUsage,
    StreamEvent,
    TextDelta,
    TextDone,
    TextOptions,
)
from gateway.contracts.tools import ToolCall
from gateway.errors import GatewayError
from gateway.responses import RESPONSE_PREFIX, named, said_item_id
from gateway.wire import TokenDelta

Keep = Callable[[Response], None]
"""Takes a response that has ended."""

_encoder = msgspec.json.Encoder()
_TOO_MANY_REQUESTS = 429
_FIRST_SERVER_ERROR = 500


class ResponseForm:
    id_prefix = RESPONSE_PREFIX
    prompts_count = 1

    def __init__(self, request: ResponseRequest, keep: Keep | None) -> None:
        """`keep` is None where the response is not to be kept."""
        self._request = request
        self._keep = keep

    def whole(self, head: Head, lasts: Mapping[int, TokenDelta], usage: Usage) -> Response:
        chunks = self.chunks(head)
        chunks.delta(0, lasts[0])
        finish_reason_of(lasts[0])
        chunks.end(usage)
        return chunks.response

    def chunks(self, head: Head) -> "ResponseChunks":
        return ResponseChunks(_begun(head, self._request, stored=self._keep is not None), self._keep)

    def named(self, error: GatewayError) -> GatewayError:
        return named(error)


class ResponseChunks:
    """Items are told one after another, each from its beginning to its end; the first event comes with the first text.

    Before that an error can still have its own HTTP status, as everywhere here.
    """

    def __init__(self, begun: Response, keep: Keep | None) -> None:
        self.response = begun
        """As far as it has come: its items are those that are whole."""
        self._keep = keep
        self._numbers = itertools.count()
        self._started = False
        self._growing: _Message | _Reasoning | None = None
        self._finish_reason: FinishReason | None = None

    def delta(self, _: int, said: TokenDelta) -> bytes:
        events = b"" if self._started else self._start()
        if said.reasoning:
            events += self._grow(_Reasoning, said.reasoning)
        if said.text or said.logprobs:
            events += self._grow(_Message, said.text, said.logprobs)
        for call in said.tool_calls:
            events += self._call(call)
        self._finish_reason = said.finish_reason or self._finish_reason
        return events

    def end(self, usage: Usage) -> bytes:
        events = b"" if self._started else self._start()
        cut = self._finish_reason is FinishReason.LENGTH
        status: ItemStatus = "incomplete" if cut else "completed"
        events += self._close(status)
        if not cut and all(isinstance(item, ReasoningItem) for item in self.response.output):
            # Clients look for the text of an answer that is complete, be it empty.
            events += self._grow(_Message, "") + self._close(status)
        self.response = msgspec.structs.replace(
            self.response,
            status=status,
            incomplete_details=IncompleteDetails() if cut else None,
            usage=_usage(usage),
        )
        if self._keep is not None:
            self._keep(self.response)
        kind = "response.incomplete" if cut else "response.completed"
        return events + _event(ResponseEvent(type=kind, sequence_number=next(self._numbers), response=self.response))

    def failed(self, error: GatewayError) -> bytes:
        events = b"" if self._started else self._start()
        if self._growing is not None:
            self._add(self._growing.item("incomplete"))
        self.response = msgspec.structs.replace(self.response, status="failed", error=_error(error))
        return events + _event(
            ResponseEvent(type="response.failed", sequence_number=next(self._numbers), response=self.response)
        )

    def _start(self) -> bytes:
        self._started = True
        return b"".join(
            _event(ResponseEvent(type=kind, sequence_number=next(self._numbers), response=self.response))
            for kind in ("response.created", "response.in_progress")
        )

    def _grow(self, kind: "type[_Message | _Reasoning]", text: str, logprobs: Sequence[TokenLogprob] = ()) -> bytes:
        events = b""
        growing = self._growing
        if not isinstance(growing, kind):
            events = self._close("completed")
            growing = self._growing = kind(self._next_id(kind.prefix), len(self.response.output))
            events += self._item_event("response.output_item.added", growing.empty_item)
            events += self._part_event("response.content_part.added", growing.item_id, growing.empty_part)
        return events + growing.add(text, logprobs, self._numbers)

    def _close(self, status: ItemStatus) -> bytes:
        """Return the last events of the item that grows, if one does."""
        growing = self._growing
        if growing is None:
            return b""
        events = growing.done(self._numbers)
        events += self._part_event("response.content_part.done", growing.item_id, growing.part)
        events += self._item_event("response.output_item.done", growing.item(status))
        self._add(growing.item(status))
        return events

    def _call(self, call: ToolCall) -> bytes:
        events = self._close("completed")
        index, name, arguments = len(self.response.output), call.function.name, call.function.arguments
        done = FunctionCall(id=self._next_id("fc"), status="completed", call_id=call.id, name=name, arguments=arguments)
        begun = msgspec.structs.replace(done, status="in_progress", arguments="")
        events += self._item_event("response.output_item.added", begun)
        events += _event(
            ArgumentsDelta(sequence_number=next(self._numbers), output_index=index, item_id=done.id, delta=arguments)
        )
        events += _event(
            ArgumentsDone(
                sequence_number=next(self._numbers),
                output_index=index,
                item_id=done.id,
                name=name,
                arguments=arguments,
            )
        )
        events += self._item_event("response.output_item.done", done)
        self._add(done)
        return events

    def _add(self, item: OutputItem) -> None:
        self._growing = None
        self.response = msgspec.structs.replace(self.response, output=(*self.response.output, item))

    def _next_id(self, prefix: str) -> str:
        return said_item_id(self.response.id, prefix, len(self.response.output))

    def _item_event(
        self, kind: Literal["response.output_item.added", "response.output_item.done"], item: OutputItem
    ) -> bytes:
        number = next(self._numbers)
        return _event(ItemEvent(type=kind, sequence_number=number, output_index=len(self.response.output), item=item))

    def _part_event(
        self,
        kind: Literal["response.content_part.added", "response.content_part.done"],
        item_id: str,
        part: OutputTextPart | ReasoningTextPart,
    ) -> bytes:
        return _event(
            PartEvent(
                type=kind,
                sequence_number=next(self._numbers),
                output_index=len(self.response.output),
                item_id=item_id,
                part=part,
            )
        )


class _Message:
    """The text that is being said."""

    prefix = "msg"
    empty_part = OutputTextPart(text="")

    def __init__(self, item_id: str, output_index: int) -> None:
        self.item_id = item_id
        self._output_index = output_index
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprob] = []

    @property
    def empty_item(self) -> OutputMessage:
        return OutputMessage(id=self.item_id, status="in_progress", content=())

    @property
    def part(self) -> OutputTextPart:
        return OutputTextPart(text="".join(self._texts), logprobs=tuple(self._logprobs))

    def item(self, status: ItemStatus) -> OutputMessage:
        return OutputMessage(id=self.item_id, status=status, content=(self.part,))

    def add(self, text: str, logprobs: Sequence[TokenLogprob], numbers: Iterator[int]) -> bytes:
        if not (text or logprobs):
            return b""
        told = tuple(map(_with_bytes, logprobs))
        self._texts.append(text)
        self._logprobs.extend(told)
        return _event(
            TextDelta(
                sequence_number=next(numbers),
                output_index=self._output_index,
                item_id=self.item_id,
                delta=text,
                logprobs=told,
            )
        )

    def done(self, numbers: Iterator[int]) -> bytes:
        part = self.part
        return _event(
            TextDone(
                sequence_number=next(numbers),
                output_index=self._output_index,
                item_id=self.item_id,
                text=part.text,
                logprobs=part.logprobs or (),
            )
        )


class _Reasoning:
    """The reasoning that is being said."""

    prefix = "rs"
    empty_part = ReasoningTextPart(text="")

    def __init__(self, item_id: str, output_index: int) -> None:
        self.item_id = item_id
        self._output_index = output_index
        self._texts: list[str] = []

    @property
    def empty_item(self) -> ReasoningItem:
        return ReasoningItem(id=self.item_id, status="in_progress", content=())

    @property
    def part(self) -> ReasoningTextPart:
        return ReasoningTextPart(text="".join(self._texts))

    def item(self, status: ItemStatus) -> ReasoningItem:
        return ReasoningItem(id=self.item_id, status=status, content=(self.part,))

    def add(self, text: str, _: Sequence[TokenLogprob], numbers: Iterator[int]) -> bytes:
        self._texts.append(text)
        return _event(
            ReasoningDelta(
                sequence_number=next(numbers), output_index=self._output_index, item_id=self.item_id, delta=text
            )
        )

    def done(self, numbers: Iterator[int]) -> bytes:
        return _event(
            ReasoningDone(
                sequence_number=next(numbers),
                output_index=self._output_index,
                item_id=self.item_id,
                text=self.part.text,
            )
        )


def _event(event: StreamEvent) -> bytes:
    return b"event: " + event.type.encode() + b"\ndata: " + _encoder.encode(event) + b"\n\n"


def _begun(head: Head, request: ResponseRequest, *, stored: bool) -> Response:
    text = request.text or TextOptions()
    return Response(
        id=head.id,
        created_at=head.created,
        status="in_progress",
        model=head.model,
        system_fingerprint=head.system_fingerprint,
        instructions=request.instructions,
        previous_response_id=request.previous_response_id,
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_logprobs=request.top_logprobs or 0,
        text=msgspec.structs.replace(text, format=text.format or TextFormat()),
        tools=request.tools or (),
        tool_choice=request.tool_choice or "auto",
        parallel_tool_calls=request.parallel_tool_calls is not False,
        reasoning=request.reasoning or ReasoningOptions(),
        metadata=request.metadata or {},
        user=request.user,
        prompt_cache_key=request.prompt_cache_key,
        safety_identifier=request.safety_identifier,
        store=stored,
    )


def _usage(usage: Usage) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=usage.prompt_tokens_details.cached_tokens),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.completion_tokens_details.reasoning_tokens),
        total_tokens=usage.total_tokens,
    )


def _error(error: GatewayError) -> ResponseError:
    """Return the error by the class that OpenAI has for it."""
    status = TABLE[error.code].status
    code = "invalid_prompt" if status < _FIRST_SERVER_ERROR else "server_error"
    return ResponseError(
        code="rate_limit_exceeded" if status == _TOO_MANY_REQUESTS else code,
        message=error.message,
        param=error.param,
        type=error.code,
    )


def _with_bytes(entry: TokenLogprob) -> TokenLogprob:
    """Return the entry with a list for bytes, which here is never null."""
    return msgspec.structs.replace(
        entry, bytes=entry.bytes or (), top_logprobs=tuple(map(_top_with_bytes, entry.top_logprobs))
    )


def _top_with_bytes(top: TopLogprob) -> TopLogprob:
    return msgspec.structs.replace(top, bytes=top.bytes or ())
