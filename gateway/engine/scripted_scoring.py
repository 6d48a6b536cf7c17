"""Scores of the scripted engine: of a text of bytes, each followed most likely by the next one in the alphabet."""

import math
import time
from collections.abc import Callable, Iterator

import msgspec

from gateway.contracts.scoring import PositionScore, TopToken
from gateway.contracts.scripted import ScriptedModel
from gateway.engine.runner import ScoreSpec, ScoringError
from gateway.engine.scripted_tokenizer import VOCABULARY_SIZE


def score_scripted(
    model: ScriptedModel, spec: ScoreSpec, *, chunk_tokens: int, sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[PositionScore, ...]]:
    """Yield scores as `scoring.score` does: the n-th token after the one before has the probability 2 to the -n.

    Counted round the vocabulary, and scaled to sum to 1. A chunk takes the script's `step_delay_s`.
    """
    if max(spec.tokens) >= VOCABULARY_SIZE:
        raise ScoringError(f"A token is beyond the model's vocabulary of {VOCABULARY_SIZE}.")
    for start in range(1, len(spec.tokens), chunk_tokens):
        sleep(model.step_delay_s)
        stop = min(start + chunk_tokens, len(spec.tokens))
        positions = range(max(start, spec.scored_from), stop)
        scores = (scripted_position(spec.tokens[at - 1], spec.tokens[at], spec.top_k) for at in positions)
        yield tuple(msgspec.structs.replace(score, logprob=score.logprob + model.score_error) for score in scores)


def scripted_position(before: int, token: int, top_k: int) -> PositionScore:
    """Return the score of a token after the one before it, with the `top_k` likeliest there."""
    ranks = range(1, min(top_k, VOCABULARY_SIZE) + 1)
    return PositionScore(
        token=token,
        logprob=_logprob((token - before - 1) % VOCABULARY_SIZE + 1),
        top=tuple(TopToken((before + rank) % VOCABULARY_SIZE, _logprob(rank)) for rank in ranks),
        tail_mass=math.exp(_logprob(len(ranks))) - math.exp(_logprob(VOCABULARY_SIZE)),
    )


def _logprob(rank: int) -> float:
    """Return the logarithm of 2 to the -rank; that of all ranks sums to 1 - 2 to the -vocabulary, which is 1 here."""
    return -rank * math.log(2)
