"""What was read of one system's memory, in bytes: raw, for the judge to read."""

import msgspec


class MemoryReading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the engine reports it after a request."""

    active_bytes: int
    cache_bytes: int
    peak_bytes: int
    """The highest since it was last idle."""
    footprint_bytes: int


class ContextReading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After one request, alone, of so many tokens."""

    tokens: int
    """Prompt and answer."""
    reading: MemoryReading


class MemoryRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    system: int
    """Position among the record's systems."""
    limit_bytes: int
    """What the gateway lets engines use: the working set less its reserve."""
    context_tokens: int
    """Declared: the longest context whose peak was to be measured."""
    steady: MemoryReading | None = None
    """After warm-up, with nothing in flight."""
    contexts: tuple[ContextReading, ...] = ()
    """The shortest first; the last is the declared one."""
    after_request: tuple[MemoryReading, ...] = ()
    """Of equal requests, one after another."""
    swap_before_bytes: int | None = None
    """The machine's; None where it does not tell."""
    swap_after_bytes: int | None = None
    load_time_cold_s: float | None = None
    """With nothing of the files in the system's cache; None where that could not be brought about."""
    load_time_warm_s: float | None = None
    """Right after an earlier load."""
    problem: str | None = None
    """What ended the readings early, if something did."""
    candidate_failed: bool = False
    """Whether that was the system's own doing, as where it crashes on the declared context."""
    production_requests: int | None = None
    """Others' requests that ran meanwhile; the readings are of these too."""
