"""Random walks through a grammar: what a model at the highest temperature, or with any weights at all, may write."""

from random import Random

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from gateway.engine.grammar import Constraint, Grammars
from gateway.engine.masks import Masks

_ENDERS = {bytes([byte]) for byte in b'{}[]":,0123456789'}


class Walker:
    """Draws each token evenly from those that are allowed, and every second time from those that end things.

    An even draw alone would write strings without end.
    """

    def __init__(self, grammars: Grammars) -> None:
        self._grammars = grammars
        self._enders = np.array(
            [token in grammars.end_tokens or grammars.bytes_of(token) in _ENDERS for token in range(grammars.size)]
        )

    def walk(self, constraint: Constraint, *, seed: int, max_tokens: int = 200) -> str | None:
        """Return a document that the grammar let through to its end; None where none ended within the limit.

        Raises AssertionError where the grammar could not be followed.
        """
        random = Random(seed)  # noqa: S311 - reproducible, and nobody's secret
        masks = Masks(self._grammars.end_tokens)
        written = bytearray()
        for _ in range(max_tokens):
            token = self._draw(_allowed(constraint, self._grammars.size), random)
            if token in self._grammars.end_tokens:
                return written.decode()
            written += self._grammars.bytes_of(token) or b""
            masks.note(constraint, mx.array([token]))
            masks.apply(constraint, mx.zeros((1, 1)))
            assert not constraint.fault, constraint.fault
        return None

    def _draw(self, allowed: NDArray[np.bool_], random: Random) -> int:
        if random.random() < 0.5 and (allowed & self._enders).any():
            allowed = allowed & self._enders
        # Most of a vocabulary is allowed within a string: a draw is faster than a list of it.
        for _ in range(20):
            if allowed[token := random.randrange(len(allowed))]:
                return token
        return int(random.choice(np.flatnonzero(allowed)))


def accepts(grammars: Grammars, constraint: Constraint, document: str) -> bool:
    """Say whether the grammar lets the document through, from its first token to its end."""
    tokens = grammars.tokenizer.tokenize_str(document)
    return constraint.matcher.try_consume_tokens(tokens) == len(tokens) and constraint.matcher.is_accepting()


def _allowed(constraint: Constraint, size: int) -> NDArray[np.bool_]:
    return np.unpackbits(constraint.bits.view(np.uint8)[0], bitorder="little")[:size].astype(np.bool_)
