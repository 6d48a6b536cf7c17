"""The seam between the text thread and a vocabulary: messages to token ids, and token ids to text."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.wire import WireMessage

TemplateArguments = Mapping[str, bool | int | float | str]


class TemplateError(Exception):
    """The chat template refuses these messages. The text says why; it is for whoever sent them."""


class Detokenizer(Protocol):
    """The text of one request, token by token."""

    def add(self, token: int) -> str:
        """Return the characters that this token completes, maybe none."""
        ...

    def finish(self) -> str:
        """Return what is left, an unfinished character as U+FFFD."""
        ...


class Tokenizer(Protocol):
    """Not safe for two threads at once: after loading, only the text thread calls it."""

    def encode_chat(self, messages: Sequence[WireMessage], template_arguments: TemplateArguments) -> list[int]:
        """Return the prompt, ready for the assistant's answer. Raises TemplateError."""
        ...

    def detokenizer(self) -> Detokenizer: ...


def plain_chat(messages: Sequence[WireMessage]) -> str:
    """Return the prompt for a model without a chat template: each message as its role, a colon and its text.

    Messages are parted by an empty line and `assistant:` stands at the end, so a base model has a pattern to continue.
    """
    turns = [f"{message.role}: {message.content}" for message in messages]
    return "\n\n".join([*turns, "assistant:"])
