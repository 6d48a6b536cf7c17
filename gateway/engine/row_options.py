"""What only the engine can check of a request's options, because it takes the vocabulary."""

from gateway import wire
from gateway.engine.call_grammar import call_grammar
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
    """Return the grammar of a demanded call, else the request's own; None where any text will do. Raises Refusal."""
    use, grammar = submit.tools, submit.grammar
    try:
        if use is not None and use.demanded:
            return tokenizer.constrain(call_grammar(use.tools))
        return None if grammar is None else tokenizer.constrain(grammar)
    except GrammarError as error:
        param = "tools" if grammar is None else grammar.param
        raise Refusal(f"`{param}` cannot be held to: {error}.".replace("..", "."), param=param) from error
