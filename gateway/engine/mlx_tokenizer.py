"""mlx-lm's TokenizerWrapper, which is untyped, as a Tokenizer."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import jinja2
from mlx_lm.tool_parsers import json_tools

from gateway.contracts.tools import FunctionTool
from gateway.engine.conversation import tell_tools, turns
from gateway.engine.grammar import Constraint, GrammarError, Grammars
from gateway.engine.reasoning import ThinkTags
from gateway.engine.tokenizer import TemplateArguments, TemplateError, plain_chat
from gateway.engine.tool_syntax import JSON_SYNTAX, ToolSyntax, described
from gateway.wire import GrammarSpec, WireMessage

_JSON_PARSER = cast("Any", json_tools).parse_tool_call  # mlx-lm types it in part only.
_TAIL_TOKENS = 16
"""More than any open think tag takes, white space behind it included."""
_CACHED_TOKENS = 16_384
_MISTRAL_ID_LENGTH = 9
"""Its templates raise at any other."""


class WrappedTokenizer:
    def __init__(self, wrapper: Any, grammars: Grammars | None = None) -> None:
        """`wrapper` is a `mlx_lm.tokenizer_utils.TokenizerWrapper`; None for `grammars` where none can be made."""
        self._wrapper = wrapper
        self._grammars = grammars
        # Not `all_special_ids`: that is only the ones with a role, such as the end of sequence.
        added = wrapper.added_tokens_decoder
        self._special: dict[int, str] = {token: about.content for token, about in added.items() if about.special}
        ends: frozenset[int] = grammars.end_tokens if grammars else frozenset(wrapper.eos_token_ids)
        self.special_tokens = {text: token for token, text in self._special.items() if text and token not in ends}
        self._size = len(wrapper)
        # Log-probabilities name the same few tokens over and over.

        def decode_one(token: int) -> str:
            return wrapper.decode([token])

        self._decode_one = lru_cache(_CACHED_TOKENS)(decode_one)
        self.think_tags = _think_tags(wrapper)
        self.tool_syntax = _tool_syntax(wrapper)
        tags = self.think_tags
        thought = (tags.start, tags.end, *tags.ignored) if tags else ()
        self._think_marks = self._marks(thought)
        self._call_marks = self._marks((*thought, self.tool_syntax.start, self.tool_syntax.end))

    def encode_chat(
        self,
        messages: Sequence[WireMessage],
        template_arguments: TemplateArguments,
        tools: Sequence[FunctionTool] = (),
        *,
        opens_answer: bool = True,
        special_tokens: bool = False,
    ) -> list[int]:
        if not self.tool_syntax.in_template:
            messages, tools = tell_tools(messages, tools), ()
        arguments = {**template_arguments, "tools": described(tools)} if tools else template_arguments
        try:
            if not self._wrapper.has_chat_template:
                return list(self._wrapper.encode(plain_chat(messages, opens_answer=opens_answer)))
            conversation = turns(messages, id_length=self.tool_syntax.id_length)
            if special_tokens:
                arguments = {**arguments, "tokenize": False}
            prompt = self._wrapper.apply_chat_template(conversation, add_generation_prompt=opens_answer, **arguments)
            return self.encode_text(prompt, special_tokens=True) if special_tokens else list(prompt)
        except jinja2.TemplateError as error:
            raise TemplateError(f"The model's chat template refuses these messages: {error.message}") from error
        except Exception as error:  # A template is a stranger's program, and any error in it is one request's alone.
            raise TemplateError(
                f"The model's chat template fails on these messages ({type(error).__name__})."
            ) from error

    def encode_text(self, text: str, *, special_tokens: bool = False) -> list[int]:
        return list(self._wrapper.encode(text, add_special_tokens=special_tokens))

    def decode(self, tokens: Sequence[int]) -> str:
        if any(token >= self._size for token in tokens):
            raise IndexError(max(tokens))
        return self._wrapper.decode(list(tokens), clean_up_tokenization_spaces=False)

    def text_of(self, token: int) -> str:
        if token >= self._size:
            raise IndexError(token)
        return self._decode_one(token)

    @property
    def size(self) -> int:
        return self._size

    def bytes_of(self, token: int) -> bytes | None:
        if self._grammars is not None:
            return self._grammars.bytes_of(token)
        text = self.text_of(token)
        return None if "\N{REPLACEMENT CHARACTER}" in text else text.encode()

    def constrain(self, grammar: GrammarSpec) -> Constraint:
        if self._grammars is None:
            raise GrammarError(
                f"this model has no tokenizer or no end token that grammars can be made for; leave {grammar.param} out"
            )
        return self._grammars.compile(grammar)

    def ends_in_thought(self, prompt: Sequence[int]) -> bool:
        if self.think_tags is None:
            return False
        return self._wrapper.decode(list(prompt[-_TAIL_TOKENS:])).rstrip().endswith(self.think_tags.start)

    def detokenizer(self, *, calls: bool = False, continues: bool = False) -> "WrappedDetokenizer":
        made = WrappedDetokenizer(
            self._wrapper.detokenizer, self._special, self._call_marks if calls else self._think_marks, self._size
        )
        if continues:  # mlx-lm's take a space away while they have said nothing
            for token in self.encode_text("a"):
                made.add(token)
        return made

    def _marks(self, texts: Iterable[str]) -> frozenset[int]:
        """Return the special tokens that those marks are made of."""
        whole = "\0".join(texts)
        return frozenset(token for token, text in self._special.items() if text and text in whole)


def _think_tags(wrapper: Any) -> ThinkTags | None:
    if not wrapper.has_thinking:
        return None
    return ThinkTags(start=wrapper.think_start, end=wrapper.think_end, ignored=tuple(wrapper.structural_markers))


def _tool_syntax(wrapper: Any) -> ToolSyntax:
    """Return the model's own syntax where mlx-lm knows it and the template shows the model its functions."""
    template = wrapper.chat_template
    if not wrapper.has_tool_calling or (isinstance(template, str) and "tools" not in template):
        return JSON_SYNTAX
    return ToolSyntax(
        start=wrapper.tool_call_start,
        end=wrapper.tool_call_end,
        parse=wrapper.tool_parser,
        writes_json=wrapper.tool_parser is _JSON_PARSER,
        in_template=True,
        id_length=_MISTRAL_ID_LENGTH if wrapper.tool_call_start == "[TOOL_CALLS]" else None,
    )


class WrappedDetokenizer:
    """mlx-lm's streaming detokenizer, without the tokens that are no text.

    Those are the special ones but the marks, and the ids that pad the model's output beyond the vocabulary.
    """

    def __init__(self, detokenizer: Any, special: Mapping[int, str], marks: frozenset[int], size: int) -> None:
        self._detokenizer = detokenizer
        self._special = special
        self._marks = marks
        self._size = size

    def add(self, token: int, *, verbatim: bool = False) -> str:
        if token in self._special:
            return self._special[token] if verbatim or token in self._marks else ""
        if token >= self._size:
            return ""
        self._detokenizer.add_token(token)
        return self._detokenizer.last_segment

    def finish(self) -> str:
        try:
            self._detokenizer.finalize()
        except KeyError:  # mlx-lm's BPE detokenizer, where an added token follows an unfinished character.
            return "\N{REPLACEMENT CHARACTER}"
        return self._detokenizer.last_segment
