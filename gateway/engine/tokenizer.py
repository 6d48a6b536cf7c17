"""The seam between the threads of text and a vocabulary: messages to token ids, and token ids to text."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.contracts.tools import FunctionTool
from gateway.engine.grammar import Constraint
from gateway.engine.reasoning import ThinkTags
from gateway.engine.tool_syntax import ToolSyntax
from gateway.wire import GrammarSpec, WireMessage

TemplateArguments = Mapping[str, bool | int | float | str]


class TemplateError(Exception):
    """The chat template refuses these messages. The text says why; it is for whoever sent them."""


class Detokenizer(Protocol):
    """The text of one request, token by token."""

    def add(self, token: int, *, verbatim: bool = False) -> str:
        """Return the characters that this token completes, maybe none.

        A token of structure, such as one that begins a message, is no text; with `verbatim` it is: it may part the
        arguments of a call.
        """
        ...

    def finish(self) -> str:
        """Return what is left, an unfinished character as U+FFFD."""
        ...


class Tokenizer(Protocol):
    """Not safe for two threads that encode: once loaded, only the prompt thread does, and the text thread decodes."""

    @property
    def think_tags(self) -> ThinkTags | None:
        """None for a model that does not mark its reasoning."""
        ...

    @property
    def tool_syntax(self) -> ToolSyntax: ...

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Tokens that no text spells, by what is written for them, without those that end an answer."""
        ...

    def encode_chat(
        self,
        messages: Sequence[WireMessage],
        template_arguments: TemplateArguments,
        tools: Sequence[FunctionTool] = (),
        *,
        opens_answer: bool = True,
        special_tokens: bool = False,
    ) -> list[int]:
        """Return the prompt, ready for the assistant's answer, or ending with the last message. Raises TemplateError.

        With `special_tokens` the tokenizer puts round it what it puts round any text.
        """
        ...

    def ends_in_thought(self, prompt: Sequence[int]) -> bool:
        """Say whether the prompt ends in an open think tag, so that the answer begins with reasoning."""
        ...

    def encode_text(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Return the tokens of text that follows a prompt: nothing is put before or behind it, unless asked for."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of a prompt, tokens of structure written out. Raises IndexError beyond `size`."""
        ...

    def text_of(self, token: int) -> str:
        """Return what one token decodes to alone, a part of a character as U+FFFD. Raises IndexError beyond `size`."""
        ...

    @property
    def size(self) -> int:
        """Ids below this are tokens."""
        ...

    def bytes_of(self, token: int) -> bytes | None:
        """Return the token's part of a text's UTF-8; None where it is none or not known. `token` is below `size`."""
        ...

    def constrain(self, grammar: GrammarSpec) -> Constraint:
        """Return the grammar, ready for a row. Raises GrammarError."""
        ...

    def detokenizer(self, *, calls: bool = False, continues: bool = False) -> Detokenizer:
        """Return a new one. Think tags are text to it, and with `calls` the marks of calls are too.

        With `continues` its text goes on from another, so that a space at its beginning is kept.
        """
        ...


def plain_chat(messages: Sequence[WireMessage], *, opens_answer: bool = True) -> str:
    """Return the prompt for a model without a chat template: each message as its role, a colon and its text.

    Messages are parted by an empty line and `assistant:` stands at the end, so a base model has a pattern to continue.
    """
    turns = [f"{message.role}: {message.content}" for message in messages]
    return "\n\n".join([*turns, "assistant:"] if opens_answer else turns)
