"""What the HTTP process and an engine process say to each other, and how it is framed.

A frame is the length of its body (4 bytes, big-endian) and the body (msgpack of one message). Both ends are ours and
are started together from one installation, so the messages carry no version.
"""

import enum
import itertools
import struct
from collections.abc import Sequence

import msgspec

from gateway.contracts.admin import EngineMemory, PrefixCacheCounts
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.files import FileState
from gateway.contracts.logprobs import TokenLogprob
from gateway.contracts.scoring import TokenScore
from gateway.contracts.tools import FunctionTool, ToolCall
from gateway.contracts.variants import EngineSpec

_LENGTH = struct.Struct("!I")
MAX_FRAME_BYTES = 64 * 1024 * 1024


# --- to the engine ---


class WireMessage(msgspec.Struct, frozen=True):
    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str
    reasoning: str | None = None
    """Of an assistant's message, apart from its text."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's message, after its text."""
    tool_call_id: str | None = None
    """Of a tool's message: the call that it answers."""
    name: str | None = None
    """Of a tool's message: the function that was called."""


class ToolUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the model may call."""

    tools: tuple[FunctionTool, ...]
    """At least one, each with its own name."""
    demanded: bool
    """The answer is exactly one call, with arguments that match the function's schema."""
    parallel: bool
    """False ends the answer with its first call."""

    @property
    def strict(self) -> bool:
        """Whether the arguments of a call are held to a schema where none is demanded."""
        return any(tool.function.strict for tool in self.tools)


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn. Every value is in its range, and each default has no effect."""

    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Probability that the smallest set of likeliest tokens reaches from which one is drawn, after `min_p`."""
    top_k: int = 0
    """Of so many likeliest tokens one is drawn; 0 takes all."""
    min_p: float = 0.0
    """Least probability of a token, as a share of the likeliest one's."""
    seed: int | None = None
    presence_penalty: float = 0.0
    """Taken once from the logit of each token that was generated before; the prompt does not count."""
    frequency_penalty: float = 0.0
    """Taken once for each time."""
    repetition_penalty: float = 1.0
    """Divides the positive logits of tokens in the prompt or in what was generated, and multiplies negative ones."""
    logit_bias: dict[int, float] = {}
    """Added to the logits, by token id."""


class GrammarKind(enum.StrEnum):
    JSON_SCHEMA = "json_schema"
    LARK = "lark"
    """llguidance's dialect: terminals are upper case, `%json {...}` is a schema."""


class GrammarSpec(msgspec.Struct, frozen=True, kw_only=True):
    kind: GrammarKind
    source: str
    """The schema as JSON, or the grammar."""
    param: str
    """The request's field that it comes from, for a refusal to name."""


class Submit(msgspec.Struct, frozen=True, kw_only=True, tag="submit"):
    """Check and tokenise one request, answer how large it is, and keep it until Start or Cancel.

    Everything is decided: defaults are applied, only the context's length is still unknown.
    """

    request_id: str
    messages: tuple[WireMessage, ...]
    template_arguments: dict[str, bool | int | float | str]
    prompt: str | tuple[int, ...] | None = None
    """A text to continue as it stands, or its tokens, in place of messages: nothing is parted from the answer."""
    echo: bool = False
    """Whether the prompt is told first, with its log-probabilities where these are asked for."""
    max_completion_tokens: int | None
    """0 only of an echo: nothing is generated. None takes what the context leaves, up to `completion_limit`."""
    completion_limit: int | None
    tools: ToolUse | None = None
    stop: tuple[str, ...]
    sampling: Sampling = Sampling()
    grammar: GrammarSpec | None = None
    """What the answer must match, unless it is calls of `tools`; it ends where the grammar does."""
    top_logprobs: int | None = None
    """How many tokens to name beside each that was drawn; None asks for no log-probabilities at all."""
    prefix_cache: bool = True
    """Whether KV is shared with other requests that begin the same."""
    urgent: bool = True
    """Whether somebody waits for the answer, so that the engine favours it over others."""


class Score(msgspec.Struct, frozen=True, kw_only=True, tag="score"):
    """Check and tokenise what is to be scored, answer how many tokens it has, and keep it until Start or Cancel."""

    request_id: str
    tokens: tuple[int, ...] | None
    """None takes the messages."""
    messages: tuple[WireMessage, ...]
    template_arguments: dict[str, bool | int | float | str]
    top_k: int


class Tokenize(msgspec.Struct, frozen=True, kw_only=True, tag="tokenize"):
    """Answer the tokens of a text, or of messages; nothing is kept."""

    request_id: str
    text: str | None
    """None takes the messages."""
    messages: tuple[WireMessage, ...]
    template_arguments: dict[str, bool | int | float | str]
    tools: tuple[FunctionTool, ...]
    opens_answer: bool
    """Whether the messages end where the assistant's answer begins."""
    special_tokens: bool
    """Whether the tokenizer puts round the text what it puts round any."""


class Detokenize(msgspec.Struct, frozen=True, kw_only=True, tag="detokenize"):
    """Answer the text of tokens; nothing is kept."""

    request_id: str
    tokens: tuple[int, ...]


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Run a request that was accepted. One that is unknown or cancelled is ignored."""

    request_id: str
    max_tokens: int
    """To generate at most: what Accepted named, or less where that is what memory was set aside for. 0 of a Score."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Forget a request; nothing is answered. One that is unknown or finished is ignored."""

    request_id: str


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """Exit with status 0 as soon as the running step ends."""


class Identify(msgspec.Struct, frozen=True, kw_only=True, tag="identify"):
    """Say what is loaded."""


Request = Submit | Score | Tokenize | Detokenize
ToEngine = Request | Start | Cancel | Identify | Stop


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
    """The request is valid and waits for its Start. Comes before its first delta."""

    request_id: str
    prompt_tokens: int
    max_tokens: int
    """That it may generate at most: what was asked, else what the context leaves. 0 of a Score."""


class Tokenized(msgspec.Struct, frozen=True, kw_only=True, tag="tokenized"):
    """The only answer to a Tokenize or a Detokenize that is not rejected."""

    request_id: str
    tokens: tuple[int, ...] = ()
    text: str = ""


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
    reasoning: str = ""
    """What the model thought, apart from its text and before it."""
    reasoning_tokens: int = 0
    """Of `completion_tokens`, those that were spent on it."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that are complete, after the text."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens whose characters are now all out in `text`, where the request asked for them."""
    cached_tokens: int = 0
    """Of the prompt, those whose KV was there already; the same on each delta."""
    stop_string: str | None = None
    """On the last delta: the one that ended the text, and is no part of it."""


def merged(deltas: Sequence[TokenDelta]) -> TokenDelta:
    """Return one delta that says what several of one request say; there is at least one, and they are in order."""
    if len(deltas) == 1:
        return deltas[0]
    return msgspec.structs.replace(
        deltas[-1],
        text="".join(delta.text for delta in deltas),
        reasoning="".join(delta.reasoning for delta in deltas),
        tool_calls=tuple(itertools.chain.from_iterable(delta.tool_calls for delta in deltas)),
        logprobs=tuple(itertools.chain.from_iterable(delta.logprobs for delta in deltas)),
    )


class Step(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """All that happened since the last Step: one message however many rows run."""

    deltas: tuple[TokenDelta, ...]
    steps: int = 1
    """That are told in this message: more than one where the parent was slow to read."""
    rows: int
    """Rows that are held after the step, prefilling or decoding."""
    decode_steps: int = 0
    """Of the steps, those that gave some row a token."""
    decoded_tokens: int = 0
    """That these steps gave, of all rows."""
    padding_ratio: float = 0.0
    """Share of the batches' key-value caches that holds no token of a row."""
    memory: EngineMemory
    prefix_cache: PrefixCacheCounts = PrefixCacheCounts()


class Echoed(msgspec.Struct, frozen=True, kw_only=True, tag="echoed"):
    """A completion's prompt, or a part of it, before its first token."""

    delta: TokenDelta
    """The prompt's first token, before which nothing stands, has the log-probability 0."""


class Scored(msgspec.Struct, frozen=True, kw_only=True, tag="scored"):
    """The next scores of a request, in order; of a long one there are many."""

    request_id: str
    positions: tuple[TokenScore, ...]
    ended: bool
    """Set on the last of a request."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """A request ended by an error of the engine's own; serving goes on."""

    request_id: str
    message: str


class Identity(msgspec.Struct, frozen=True, kw_only=True, tag="identity"):
    """What this process has loaded, as it knows it itself."""

    spec: EngineSpec
    files: tuple[FileState, ...]
    """Those that it opened, as they were before it did."""


FromEngine = Ready | LoadFailed | Accepted | Rejected | Tokenized | Step | Echoed | Scored | Fault | Identity

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
