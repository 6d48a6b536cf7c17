"""What only the engine can check of a request's options, because it takes the vocabulary."""

from gateway import wire
from gateway.engine.call_grammar import calls_in_text, calls_or_document, demanded_call
from gateway.engine.grammar import Constraint, GrammarError
from gateway.engine.tokenizer import Tokenizer
from gateway.engine.window import Refusal


def check_logit_bias(sampling: wire.Sampling, tokenizer: Tokenizer) -> None:
    """Raise Refusal where a biased token is none."""
    for token in sampling.logit_bias:
        if token >= tokenizer.size:
            raise Refusal(
                f"`logit_bias.{token}` is no token: this model's vocabulary has the ids 0 to {tokenizer.size - 1}.",
                param=f"logit_bias.{token}",
            )


def constraint_of(submit: wire.Submit, tokenizer: Tokenizer) -> Constraint | None:
    """Return what holds the answer, ready for a row; None where any text will do. Raises Refusal."""
    demanded = submit.tools is not None and submit.tools.demanded
    form = None if submit.grammar is None or demanded else _constrain(submit.grammar, tokenizer)
    if submit.tools is None or not (demanded or form or submit.tools.strict):
        return form
    # The form was compiled by itself all the same: so a refusal names the field that it is for.
    try:
        grammar = _call_grammar(submit, submit.tools, tokenizer)
    except GrammarError as error:
        raise _refusal(error, "tools") from error
    return _constrain(grammar, tokenizer)


def _call_grammar(submit: wire.Submit, use: wire.ToolUse, tokenizer: Tokenizer) -> wire.GrammarSpec:
    if use.demanded:
        return demanded_call(use.tools)
    if submit.grammar is not None:
        return calls_or_document(use, tokenizer.tool_syntax, tokenizer.special_tokens, submit.grammar)
    return calls_in_text(use.tools, tokenizer.tool_syntax, tokenizer.special_tokens)


def _constrain(grammar: wire.GrammarSpec, tokenizer: Tokenizer) -> Constraint:
    try:
        return tokenizer.constrain(grammar)
    except GrammarError as error:
        raise _refusal(error, grammar.param) from error


def _refusal(error: GrammarError, param: str) -> Refusal:
    return Refusal(f"`{param}` cannot be held to: {error}.".replace("..", "."), param=param)
