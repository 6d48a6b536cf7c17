"""Sequences that are being scored, in line: the loop gives the first of them one chunk between two steps."""

import sys
import traceback
from collections.abc import Iterator

from gateway.contracts.scoring import PositionScore
from gateway.engine.handoff import RowsFaulted, ScoreAdvanced
from gateway.engine.runner import Scorer, ScoreSpec, ScoringError


class Scores:
    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._chunks: dict[int, Iterator[tuple[PositionScore, ...]]] = {}
        """By row, first come first."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._chunks)

    def add(self, spec: ScoreSpec) -> None:
        self._chunks[spec.row] = self._scorer(spec)

    def remove(self, row: int) -> None:
        """Forget a sequence; one that is not held is ignored."""
        self._chunks.pop(row, None)

    def advance(self) -> ScoreAdvanced | RowsFaulted | None:
        """Compute one chunk of the first sequence; return what came of it, None where nothing is in line."""
        if not self._chunks:
            return None
        row, chunks = next(iter(self._chunks.items()))
        try:
            positions = next(chunks, None)
        except ScoringError as error:
            return self._fault(row, str(error))
        except Exception as error:  # noqa: BLE001 - the seam to MLX: whatever it raises ends this sequence alone
            traceback.print_exception(error, file=sys.stderr)
            return self._fault(row, f"The engine met an error ({type(error).__name__}) while it scored this.")
        if positions is None:
            del self._chunks[row]
        return ScoreAdvanced(row=row, positions=positions or (), ended=positions is None)

    def _fault(self, row: int, message: str) -> RowsFaulted:
        del self._chunks[row]
        return RowsFaulted(rows=(row,), message=message)
