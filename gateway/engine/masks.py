"""Hold the rows of a batch to their grammars: which tokens may come next, for all rows at once."""

from typing import cast

import llguidance
import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from gateway.engine.grammar import Constraint


class Masks:
    """Advances the grammars of one runner's rows, once a step and all together.

    mlx-lm calls the processors row by row. The first of a step that finds a drawn token waiting advances every
    grammar of the batch, in llguidance's own threads. It first sends the forward pass on its way, whose logits are
    not needed for that: so the masks cost nothing while the pass takes longer than they do.
    """

    def __init__(self, end_tokens: frozenset[int]) -> None:
        self._end_tokens = end_tokens
        self._executor = llguidance.LLExecutor()
        self._drawn: list[tuple[Constraint, mx.array]] = []
        """Tokens that were drawn and not yet told to their grammars."""

    def note(self, constraint: Constraint, token: mx.array) -> None:
        """Take a row's next token, which may still be under way."""
        self._drawn.append((constraint, token))

    def apply(self, constraint: Constraint, logits: mx.array) -> mx.array:
        """Return a row's logits (1 x vocabulary) with what the grammar forbids at minus infinity."""
        if self._drawn:
            mx.async_eval(logits)  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
            self._advance()
        return mx.where(self._allowed(constraint, logits.shape[-1]), logits, -mx.inf)

    def _advance(self) -> None:
        # `item` waits for the one token; `mx.eval` would wait for all that was sent, the forward pass among it.
        drawn = [(constraint, cast("int", token.item())) for constraint, token in self._drawn]
        self._drawn.clear()
        for constraint, token in drawn:
            constraint.ended = constraint.ended or token in self._end_tokens
        matched = [(constraint, token) for constraint, token in drawn if not constraint.ended]
        if not matched:
            return
        self._executor.consume_token_par([(constraint.matcher, token) for constraint, token in matched])
        bits = np.zeros((len(matched), matched[0][0].bits.shape[-1]), dtype=np.int32)
        places = [(constraint.matcher, place) for place, (constraint, _) in enumerate(matched)]
        self._executor.unsafe_compute_mask_ptr(places, bits.ctypes.data, bits.strides[0], len(matched))
        for place, (constraint, _) in enumerate(matched):
            constraint.bits = bits[place : place + 1]
            if constraint.matcher.is_error():
                constraint.fail(constraint.matcher.get_error())
            elif not constraint.bits.any():
                constraint.fail("no token of the vocabulary goes on")

    def _allowed(self, constraint: Constraint, width: int) -> mx.array:
        """Return a boolean for each of the model's logits; those beyond the vocabulary are padding."""
        allowed: NDArray[np.bool_] = np.zeros(width, dtype=np.bool_)
        if constraint.ended:
            # What comes now is no part of the answer; where the grammar failed, it is the row's end.
            allowed[[token for token in self._end_tokens if token < width]] = True
        else:
            bits = np.unpackbits(constraint.bits.view(np.uint8)[0], bitorder="little")[:width]
            allowed[: len(bits)] = bits
        return mx.array(allowed)  # pyright: ignore[reportArgumentType] - its stub does not know numpy
