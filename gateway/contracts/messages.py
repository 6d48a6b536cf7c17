"""The messages of a chat as OpenAI's clients send them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.contracts.tools import CallId, SentCall


class TextPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """One content part. A text model takes text: images, audio and files are refused by their names."""

    text: str


class RefusalPart(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="refusal"
):
    """What an assistant said instead of an answer; read as its text."""

    refusal: str


Content = str | Annotated[tuple[TextPart | RefusalPart, ...], Meta(min_length=1)]


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One message of any role. What goes with which role is checked in `gateway/submission.py`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """`developer` is OpenAI's later name for `system`; models know it as that."""
    content: Content | None = None
    """None only of an assistant that called functions instead."""
    name: str | None = None
    tool_calls: tuple[SentCall, ...] | None = None
    """Of an assistant: what it called."""
    tool_call_id: CallId | None = None
    """Of a tool: the call that it answers."""
    reasoning_content: str | None = None
    """Of an assistant; chat templates that do not keep earlier reasoning leave it out."""
    # What OpenAI's answers hold beside that, and clients send back: without effect.
    refusal: str | None = None
    annotations: tuple[dict[str, Any], ...] | None = None
    audio: None = None
    function_call: None = None
    parsed: Any = None
    """Added by the official client's own helpers."""

    @property
    def text(self) -> str:
        """The content as one string, parts joined as they stand."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text if isinstance(part, TextPart) else part.refusal for part in self.content)
