"""The scripted engine's tokens: the bytes of UTF-8, so that a character may be cut anywhere between them."""

import codecs
from collections.abc import Sequence
from types import MappingProxyType

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
    special_tokens = MappingProxyType({f"<{role}>": token for role, token in _ROLES.items()})

    def encode_chat(
        self,
        messages: Sequence[WireMessage],
        template_arguments: TemplateArguments,
        tools: Sequence[FunctionTool] = (),
        *,
        opens_answer: bool = True,
        special_tokens: bool = False,  # noqa: ARG002 - it puts nothing round a text
    ) -> list[int]:
        tokens: list[int] = []
        for message in tell_tools(messages, tools):
            if message.role not in _ROLES:
                raise TemplateError(f"The scripted engine knows the roles {', '.join(_ROLES)}.")
            tokens.append(_ROLES[message.role])
            tokens.extend(message.content.encode())
        if not opens_answer:
            return tokens
        thinking = self.think_tags.start.encode() if template_arguments.get("enable_thinking") else b""
        return [*tokens, _ROLES["assistant"], *thinking]

    def ends_in_thought(self, prompt: Sequence[int]) -> bool:
        start = list(self.think_tags.start.encode())
        return list(prompt[-len(start) :]) == start

    def encode_text(self, text: str, *, special_tokens: bool = False) -> list[int]:  # noqa: ARG002 - as above
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        if any(token >= self.size for token in tokens):
            raise IndexError(max(tokens))
        utf8 = b"".join(_SPECIAL[token].encode() if token in _SPECIAL else bytes([token]) for token in tokens)
        return utf8.decode(errors="replace")

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

    def detokenizer(
        self,
        *,
        calls: bool = False,  # noqa: ARG002 - its marks are bytes anyway
        continues: bool = False,  # noqa: ARG002 - it keeps every space
    ) -> "ScriptedDetokenizer":
        return ScriptedDetokenizer()


class ScriptedDetokenizer:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token: int, *, verbatim: bool = False) -> str:  # noqa: ARG002 - it has no tokens of structure
        return self._decoder.decode(bytes([token]))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


def last_user_text(prompt: Sequence[int]) -> str:
    """Return the last user message of a prompt that ScriptedTokenizer encoded, or the empty string.

    A prompt that is no chat, but a text to continue, is returned itself.
    """
    if not any(token in _ROLES.values() for token in prompt):
        prompt = [_ROLES["user"], *prompt]
    starts = [index for index, token in enumerate(prompt) if token == _ROLES["user"]]
    if not starts:
        return ""
    text = bytearray()
    for token in prompt[starts[-1] + 1 :]:
        if token >= END:
            break
        text.append(token)
    return text.decode(errors="replace")
