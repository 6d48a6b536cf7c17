"""What a request becomes before its first token: its prompt, and how its answer is to be read."""

import msgspec

from gateway.contracts.tools import FunctionTool
from gateway.engine.reasoning import ReasoningSplitter
from gateway.engine.tokenizer import TemplateError, Tokenizer
from gateway.engine.tokens import check_tokens
from gateway.engine.tool_calls import CallScanner
from gateway.engine.tool_syntax import parse_held_call
from gateway.engine.window import Refusal, completion_tokens_allowed
from gateway.wire import Submit


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    tokens: tuple[int, ...]
    thinking: bool
    """It ends in an open think tag: the answer begins with reasoning."""


def prompt_of(submit: Submit, tokenizer: Tokenizer) -> Prompt:
    """Render and tokenise the messages, or tokenise a text as it stands. Raises Refusal.

    A demanded call and a document begin with the answer's first token, so such a request does not reason: the template
    is told so, and a tag that it opens nevertheless is closed. The mark of a demanded call is given where JSON follows.
    """
    tools: tuple[FunctionTool, ...] = submit.tools.tools if submit.tools else ()
    if submit.prompt is not None:
        return Prompt(tokens=_continued(submit.prompt, tokenizer), thinking=False)
    held = _is_held(submit)
    arguments = submit.template_arguments | ({"enable_thinking": False} if held else {})
    try:
        tokens = tokenizer.encode_chat(submit.messages, arguments, tools)
    except TemplateError as error:
        raise Refusal(str(error), param="messages") from error
    if not tokens:
        raise Refusal("The model's chat template makes an empty prompt of these messages.", param="messages")
    thinking = tokenizer.ends_in_thought(tokens)
    if held and thinking and tokenizer.think_tags:
        tokens += tokenizer.encode_text(f"{tokenizer.think_tags.end}\n\n")
        thinking = False
    if submit.tools and submit.tools.demanded and tokenizer.tool_syntax.writes_json:
        tokens += tokenizer.encode_text(f"{tokenizer.tool_syntax.start}\n")
    return Prompt(tokens=tuple(tokens), thinking=thinking)


def _continued(prompt: str | tuple[int, ...], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the tokens of a text that is continued as it stands. Raises Refusal."""
    if isinstance(prompt, str):
        tokens = tuple(tokenizer.encode_text(prompt, special_tokens=True))
        if not tokens:
            raise Refusal("`prompt` has no tokens; there is nothing to continue.", param="prompt")
        return tokens
    check_tokens(prompt, tokenizer, param="prompt")
    return prompt


def _is_held(submit: Submit) -> bool:
    """Whether a grammar says from the first token on what comes."""
    return submit.grammar is not None or (submit.tools is not None and submit.tools.demanded)


def tokens_allowed(submit: Submit, prompt: Prompt, *, context_length: int) -> int:
    """Return how many tokens the answer may have at most. Raises Refusal where the request does not fit."""
    is_chat = submit.prompt is None
    return completion_tokens_allowed(
        prompt_tokens=len(prompt.tokens),
        asked=submit.max_completion_tokens,
        completion_limit=submit.completion_limit,
        context_length=context_length,
        least=0 if submit.echo else 1,
        prompt_param="messages" if is_chat else "prompt",
        asked_param="max_completion_tokens" if is_chat else "max_tokens",
    )


def splitter_of(tokenizer: Tokenizer, submit: Submit, prompt: Prompt) -> ReasoningSplitter | None:
    """Return what parts reasoning from the answer, or None where there is none: a document may speak of its tags.

    A text that is continued as it stands has its tags in it.
    """
    if tokenizer.think_tags is None or _is_held(submit) or submit.prompt is not None:
        return None
    return ReasoningSplitter(tokenizer.think_tags, inside=prompt.thinking)


def scanner_of(tokenizer: Tokenizer, submit: Submit) -> CallScanner | None:
    """Return what finds the calls in the answer, or None where nothing may be called."""
    use, own = submit.tools, tokenizer.tool_syntax
    if use is None:
        return None
    # What a grammar lets out is a call in JSON, whatever the model's own syntax is.
    as_json = msgspec.structs.replace(own, parse=parse_held_call, writes_json=True)
    if use.demanded:
        return CallScanner(msgspec.structs.replace(as_json, start="", end=""), use)
    if submit.grammar is not None:
        return CallScanner(as_json, use, held=True, first_only=True)
    return CallScanner(as_json, use, held=True) if use.strict else CallScanner(own, use)
