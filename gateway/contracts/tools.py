"""OpenAI's function calling: what a request offers, whom it lets the model call, and a call as both sides write it."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

FunctionName = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
CallId = Annotated[str, Meta(min_length=1, max_length=256)]


class FunctionDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments, an object; None takes no arguments."""
    strict: bool | None = None
    """Arguments are constrained to the schema, as they are wherever a call is demanded: see `ToolChoice`."""


class FunctionTool(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="function"
):
    function: FunctionDefinition


class FunctionReference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: FunctionName


class NamedFunction(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="function"
):
    function: FunctionReference


class AllowedTools(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mode: Literal["auto", "required"]
    tools: Annotated[tuple[NamedFunction, ...], Meta(min_length=1)]


class AllowedToolsChoice(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="allowed_tools"
):
    allowed_tools: AllowedTools


ToolChoice = Literal["none", "auto", "required"] | NamedFunction | AllowedToolsChoice
"""`required` and a named function demand a call, whose arguments then are constrained to the function's schema."""


class CalledFunction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    arguments: str
    """JSON, as the model wrote it."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """One call, whole."""

    id: CallId
    function: CalledFunction


class SentFunction(CalledFunction, frozen=True, kw_only=True, forbid_unknown_fields=True):
    parsed_arguments: Any = None
    """Without effect: the official client adds it to what it received."""


class SentCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """A call as a client sends it back."""

    id: CallId
    function: SentFunction
    index: int | None = None
    """Without effect, as above."""

    @property
    def call(self) -> ToolCall:
        return ToolCall(id=self.id, function=CalledFunction(name=self.function.name, arguments=self.function.arguments))


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """One call in a stream. It comes in one piece, so no later delta repeats its index."""

    index: int
    """From 0 in the order of the calls."""
    id: str
    function: CalledFunction
