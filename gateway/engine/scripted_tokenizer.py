"""The scripted engine's tokens: the bytes of UTF-8, so that a character may be cut anywhere between them."""

import codecs
from collections.abc import Sequence

from gateway.engine.tokenizer import TemplateArguments, TemplateError
from gateway.wire import WireMessage

END = 256
"""End of sequence."""
_ROLES = {"system": 257, "user": 258, "assistant": 259}


class ScriptedTokenizer:
    """Each message is its role's token and its bytes; the assistant's token stands at the end."""

    def encode_chat(
        self,
        messages: Sequence[WireMessage],
        template_arguments: TemplateArguments,  # noqa: ARG002 - ignored, as by a template that does not read them
    ) -> list[int]:
        tokens: list[int] = []
        for message in messages:
            if message.role not in _ROLES:
                raise TemplateError(f"The scripted engine knows the roles {', '.join(_ROLES)}.")
            tokens.append(_ROLES[message.role])
            tokens.extend(message.content.encode())
        return [*tokens, _ROLES["assistant"]]

    def detokenizer(self) -> "ScriptedDetokenizer":
        return ScriptedDetokenizer()


class ScriptedDetokenizer:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token: int) -> str:
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
