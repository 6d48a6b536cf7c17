"""What is to be scored, as tokens; and scores with the text of their tokens."""

from collections.abc import Iterable

from gateway import wire
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scoring import PositionScore, TokenScore
from gateway.engine.runner import ScoreSpec
from gateway.engine.tokenizer import TemplateError, Tokenizer
from gateway.engine.tokens import check_tokens
from gateway.engine.window import Refusal

_ASSISTANT = "assistant"


def score_spec(score: wire.Score, tokenizer: Tokenizer, *, row: int, context_length: int) -> ScoreSpec:
    """Check and tokenise what is to be scored. Raises Refusal."""
    if score.tokens is not None:
        tokens, scored_from, param = score.tokens, 1, "tokens"
        check_tokens(tokens, tokenizer, param=param)
    else:
        tokens, scored_from = _render(score, tokenizer)
        param = "messages"
    if len(tokens) > context_length:
        raise Refusal(
            f"This model's maximum context length is {context_length} tokens, and {len(tokens)} are to be scored.",
            code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
            param=param,
        )
    return ScoreSpec(row=row, tokens=tokens, scored_from=scored_from, top_k=score.top_k)


def with_text(positions: Iterable[PositionScore], tokenizer: Tokenizer) -> tuple[TokenScore, ...]:
    return tuple(
        TokenScore(
            token=position.token,
            logprob=position.logprob,
            top=position.top,
            tail_mass=position.tail_mass,
            text=tokenizer.text_of(position.token),
        )
        for position in positions
    )


def _render(score: wire.Score, tokenizer: Tokenizer) -> tuple[tuple[int, ...], int]:
    """Return the tokens and the index of the first that is scored.

    An answer is tokenised apart from its prompt: so the engine would have generated it, token after token.
    """
    messages = list(score.messages)
    answer = messages.pop().content if messages[-1].role == _ASSISTANT else None
    if not messages:
        raise Refusal("An assistant's message needs one before it.", param="messages")
    try:
        prompt = tokenizer.encode_chat(messages, score.template_arguments)
    except TemplateError as error:
        raise Refusal(str(error), param="messages") from error
    if answer is None:
        if len(prompt) < 2:  # noqa: PLR2004 - one token, before which nothing stands, has no score
            raise Refusal("These messages make fewer than two tokens; nothing is left to score.", param="messages")
        return tuple(prompt), 1
    continuation = tokenizer.encode_text(answer)
    if not prompt or not continuation:
        raise Refusal("The answer to be scored, or the prompt before it, is empty.", param="messages")
    return (*prompt, *continuation), len(prompt)
