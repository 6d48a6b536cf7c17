"""What a request becomes before its first token: its prompt, and how its answer is to be read."""

import msgspec

from gateway.contracts.tools import FunctionTool
from gateway.engine.reasoning import ReasoningSplitter
from gateway.engine.tokenizer import TemplateError, Tokenizer
from gateway.engine.tool_calls import CallScanner
from gateway.engine.tool_syntax import ToolSyntax, parse_json_call
from gateway.engine.window import Refusal
from gateway.wire import Submit, ToolUse


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    tokens: tuple[int, ...]
    thinking: bool
    """It ends in an open think tag: the answer begins with reasoning."""


def prompt_of(submit: Submit, tokenizer: Tokenizer) -> Prompt:
    """Render and tokenise the messages. Raises Refusal.

    An answer that a grammar holds begins with its first token, so such a request does not reason: the template is told
    so, and a tag that it opens nevertheless is closed. The mark of a demanded call is given where JSON follows it.
    """
    tools: tuple[FunctionTool, ...] = submit.tools.tools if submit.tools else ()
    demanded = submit.tools is not None and submit.tools.demanded
    held = demanded or submit.grammar is not None
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
    if demanded and tokenizer.tool_syntax.writes_json:
        tokens += tokenizer.encode_text(f"{tokenizer.tool_syntax.start}\n")
    return Prompt(tokens=tuple(tokens), thinking=thinking)


def splitter_of(tokenizer: Tokenizer, prompt: Prompt) -> ReasoningSplitter | None:
    """Return what parts reasoning from the answer, or None for a model that has no tags for it."""
    return ReasoningSplitter(tokenizer.think_tags, inside=prompt.thinking) if tokenizer.think_tags else None


def scanner_of(tokenizer: Tokenizer, use: ToolUse | None) -> CallScanner | None:
    """Return what finds the calls in the answer, or None where nothing may be called."""
    if use is None:
        return None
    if not use.demanded:
        return CallScanner(tokenizer.tool_syntax, use)
    # The grammar lets out one call in JSON and nothing else, whatever the model's own syntax is.
    whole = ToolSyntax(
        start="",
        end="",
        parse=parse_json_call,
        writes_json=True,
        in_template=False,
        id_length=tokenizer.tool_syntax.id_length,
    )
    return CallScanner(whole, use)
