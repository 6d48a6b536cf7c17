"""The seam between the loop and what decodes: rows go in, each step gives every decoding row one token."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from gateway.contracts.admin import EngineMemory, PrefixCacheCounts
from gateway.contracts.chat import FinishReason
from gateway.contracts.scoring import PositionScore, TopToken
from gateway.engine.grammar import Constraint
from gateway.wire import Sampling


class RowSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One request as the runner sees it: no text, no name."""

    row: int
    """Never given twice in the life of a process, so a late token cannot reach another request."""
    prompt: tuple[int, ...]
    """Token ids, at least one."""
    max_tokens: int
    """At least 1; the row ends with `length` at this many."""
    sampling: Sampling
    constraint: Constraint | None = None
    """What the row's text must match; it ends with `stop` where nothing more may come."""
    top_logprobs: int | None = None
    """How many tokens to name beside each that is drawn; None asks for no log-probabilities."""
    prefix_cache: bool = True
    """Whether the prompt's beginning may come from other rows' KV, and this row's KV serve others."""
    urgent: bool = True
    """Whether somebody waits for it: its prompt goes before those of others, and its tokens keep their pace."""


class DrawnLogprob(msgspec.Struct, frozen=True):
    """Of the model's own distribution: before temperature, penalties, biases and grammar."""

    logprob: float
    top: tuple[TopToken, ...]
    """Likeliest first."""


class RowToken(msgspec.Struct, frozen=True):
    """What one step gave one row."""

    row: int
    token: int
    finish_reason: FinishReason | None
    """`stop` where the token is an end-of-sequence token, which is no part of the text. A row with a reason is gone."""
    logprob: DrawnLogprob | None = None
    cached_tokens: int = 0
    """Of the row's prompt, those whose KV was there already; the same on each of its tokens."""


class ScoreSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A sequence whose tokens are to be scored. Nothing is generated, and no row of the batch is taken."""

    row: int
    """From the same count as a RowSpec's."""
    tokens: tuple[int, ...]
    """Token ids, at least two."""
    scored_from: int
    """Index of the first token that is scored, at least 1."""
    top_k: int


class ScoringError(Exception):
    """This sequence cannot be scored; the text says why, without the sequence."""


Scorer = Callable[[ScoreSpec], Iterator[tuple[PositionScore, ...]]]
"""Returns an iterator that computes one chunk of the scores when it is asked for the next: on the loop's thread,
between two steps. It may raise anything, and touches no row of a Runner."""


class RowsError(Exception):
    """Only these rows failed, and they are gone. The others are as they were, and none has lost a token."""

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__(f"{len(rows)} rows")
        self.rows = tuple(rows)


class Runner(Protocol):
    """Every method is called on the loop's thread, between steps."""

    def insert(self, spec: RowSpec) -> None:
        """Queue a row; it takes part from the next step on."""
        ...

    def step(self) -> Sequence[RowToken]:
        """Give every decoding row a token, and work on one chunk of prompts; without rows, do nothing.

        Raises RowsError where some rows alone are at fault. May raise anything else: the rows are then in no known
        state and the runner is to be closed.
        """
        ...

    def tidy(self) -> bool:
        """Do a small piece of work that can wait, and return whether there was any. Called while no rows are held."""
        ...

    def remove(self, row: int) -> None:
        """Forget a row and free its cache; a row that is not held is ignored."""
        ...

    def memory(self) -> EngineMemory: ...

    def prefix_counts(self) -> PrefixCacheCounts: ...

    def padding_ratio(self) -> float:
        """Return the share of the batches' key-value caches that holds no token of a row."""
        ...

    def close(self) -> None: ...
