"""The seam between the loop and what decodes: rows go in, each step gives every decoding row one token."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.contracts.admin import EngineMemory
from gateway.contracts.chat import FinishReason


class RowSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One request as the runner sees it: no text, no name."""

    row: int
    """Never given twice in the life of a process, so a late token cannot reach another request."""
    prompt: tuple[int, ...]
    """Token ids, at least one."""
    max_tokens: int
    """At least 1; the row ends with `length` at this many."""
    temperature: float
    top_p: float
    seed: int | None


class RowToken(msgspec.Struct, frozen=True):
    """What one step gave one row."""

    row: int
    token: int
    finish_reason: FinishReason | None
    """`stop` where the token is an end-of-sequence token, which is no part of the text. A row with a reason is gone."""


class Runner(Protocol):
    """Every method is called on the loop's thread, between steps."""

    def insert(self, spec: RowSpec) -> None:
        """Queue a row; it takes part from the next step on."""
        ...

    def step(self) -> Sequence[RowToken]:
        """Advance every row by one token or one chunk of its prompt; without rows, do nothing.

        May raise anything. Its rows are then in no known state and the runner is to be closed.
        """
        ...

    def remove(self, row: int) -> None:
        """Forget a row and free its cache; a row that is not held is ignored."""
        ...

    def memory(self) -> EngineMemory: ...

    def close(self) -> None: ...
