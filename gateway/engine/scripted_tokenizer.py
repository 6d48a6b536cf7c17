"""The scripted engine's tokens: the bytes of UTF-8, so that a character may be cut anywhere between them."""

import codecs
from collections.abc import Sequence

from gateway.contracts.tools import FunctionTool
from gateway.engine.conversation import tell_tools
from gateway.engine.grammar import Constraint, GrammarError
from gateway.engine.reasoning import ThinkTags
from gateway.engine.tokenizer import TemplateArguments, TemplateError
from gateway.engine.tool_syntax import JSON_SYNTAX
from gateway.wire import GrammarSpec, WireMessage

END = 256
"""End of sequence."""
_ROLES = {"system": 257, "user": 258, "assistant": 259}
_SPECIAL = {END: "<end>"} | {token: f"<{role}>" for role, token in _ROLES.items()}
VOCABULARY_SIZE = END + len(_SPECIAL)


class ScriptedTokenizer:
    """Each message is its role's token and its bytes; the assistant's token stands at the end.

    With the template argument `enable_thinking` a think tag is open at the end.
    """

    think_tags = ThinkTags(start="<think>", end="</think>")
    tool_syntax = JSON_SYNTAX

    def encode_chat(
        self,
        messages: Sequence[WireMessage],
        template_arguments: TemplateArguments,
        tools: Sequence[FunctionTool] = (),
    ) -> list[int]:
        tokens: list[int] = []
        for message in tell_tools(messages, tools):
            if message.role not in _ROLES:
                raise TemplateError(f"The scripted engine knows the roles {', '.join(_ROLES)}.")
            tokens.append(_ROLES[message.role])
            tokens.extend(message.content.encode())
        thinking = self.think_tags.start.encode() if template_arguments.get("enable_thinking") else b""
        return [*tokens, _ROLES["assistant"], *thinking]

    def ends_in_thought(self, prompt: Sequence[int]) -> bool:
        start = list(self.think_tags.start.encode())
        return list(prompt[-len(start) :]) == start

    def encode_text(self, text: str) -> list[int]:
        return list(text.encode())

    def text_of(self, token: int) -> str:
        if token >= self.size:
            raise IndexError(token)
        return _SPECIAL.get(token) or bytes([token]).decode(errors="replace")

    @property
    def size(self) -> int:
        return VOCABULARY_SIZE

    def bytes_of(self, token: int) -> bytes | None:
        return bytes([token]) if token < END else None

    def constrain(self, grammar: GrammarSpec) -> Constraint:
        raise GrammarError(f"a scripted engine has no logits to hold to a grammar; leave {grammar.param} out")

    def detokenizer(self, *, calls: bool = False) -> "ScriptedDetokenizer":  # noqa: ARG002 - its marks are bytes anyway
        return ScriptedDetokenizer()


class ScriptedDetokenizer:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token: int, *, verbatim: bool = False) -> str:  # noqa: ARG002 - it has no tokens of structure
        return self._decoder.decode(bytes([token]))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


def last_user_text(prompt: Sequence[int]) -> str:
    """Return the last user message of a prompt that ScriptedTokenizer encoded, or the empty string."""
    starts = [index for index, token in enumerate(prompt) if token == _ROLES["user"]]
    if not starts:
        return ""
    text = bytearray()
    for token in prompt[starts[-1] + 1 :]:
        if token >= END:
            break
        text.append(token)
    return text.decode()
