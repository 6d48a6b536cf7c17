"""mlx-lm's TokenizerWrapper, which is untyped, as a Tokenizer."""

from collections.abc import Sequence
from typing import Any

import jinja2

from gateway.engine.tokenizer import TemplateArguments, TemplateError, plain_chat
from gateway.wire import WireMessage


class WrappedTokenizer:
    def __init__(self, wrapper: Any) -> None:
        """`wrapper` is a `mlx_lm.tokenizer_utils.TokenizerWrapper`."""
        self._wrapper = wrapper
        # Not `all_special_ids`: that is only the ones with a role, such as the end of sequence.
        added = wrapper.added_tokens_decoder
        self._special = frozenset[int](token for token, about in added.items() if about.special)
        self._size = len(wrapper)

    def encode_chat(self, messages: Sequence[WireMessage], template_arguments: TemplateArguments) -> list[int]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            if not self._wrapper.has_chat_template:
                return list(self._wrapper.encode(plain_chat(messages)))
            return list(self._wrapper.apply_chat_template(turns, add_generation_prompt=True, **template_arguments))
        except jinja2.TemplateError as error:
            raise TemplateError(f"The model's chat template refuses these messages: {error.message}") from error
        except Exception as error:  # A template is a stranger's program, and any error in it is one request's alone.
            raise TemplateError(
                f"The model's chat template fails on these messages ({type(error).__name__})."
            ) from error

    def detokenizer(self) -> "WrappedDetokenizer":
        return WrappedDetokenizer(self._wrapper.detokenizer, self._special, self._size)


class WrappedDetokenizer:
    """mlx-lm's streaming detokenizer, without the tokens that are no text.

    Those are the special ones, which are structure, and the ids that pad the model's output beyond the vocabulary.
    """

    def __init__(self, detokenizer: Any, special: frozenset[int], size: int) -> None:
        self._detokenizer = detokenizer
        self._special = special
        self._size = size

    def add(self, token: int) -> str:
        if token in self._special or token >= self._size:
            return ""
        self._detokenizer.add_token(token)
        return self._detokenizer.last_segment

    def finish(self) -> str:
        try:
            self._detokenizer.finalize()
        except KeyError:  # mlx-lm's BPE detokenizer, where an added token follows an unfinished character.
            return "\N{REPLACEMENT CHARACTER}"
        return self._detokenizer.last_segment
