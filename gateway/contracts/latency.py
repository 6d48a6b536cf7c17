"""What was timed of several systems, in blocks that follow each other as A-B-B-A: raw, for the judge to read."""

import msgspec


class TimedAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request of a block."""

    case_id: str
    """Whose prompt it was."""
    time_to_first_token_s: float
    end_to_end_s: float
    completion_tokens: int
    cached_tokens: int = 0
    """Of the prompt, taken from a cache."""


class LatencyBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of time in which one system alone was timed. Blocks stand in the order of execution."""

    system: int
    """Position among the record's systems."""
    cycle: int
    """Blocks of one cycle and concurrency asked the same prompts, and are compared with each other."""
    concurrency: int
    """Requests that were kept in flight."""
    answers: tuple[TimedAnswer, ...]
    """In the order in which they were asked."""
    batch_rows: float | None = None
    """Mean number of rows of the steps that decoded; None where the engine does not say."""
    production_requests: int | None = None
    """Others' requests that ran in the block; None where the gateway does not say."""
    candidate_errors: tuple[str, ...] = ()
    """Codes of requests that the system itself brought down."""
    infrastructure_errors: tuple[str, ...] = ()


class LatencyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record without blocks says that times are not read from trials, and that none was measured yet."""

    output_tokens: int
    """That each request was allowed, and was to come to."""
    prefix_cache: bool
    """Declared, the same for all systems."""
    warm_up_count: int
    """First requests of each load that were not recorded."""
    cycles: int | None = None
    """That were planned; fewer were timed of a system whose first look settled it. None in records from before that."""
    host: str | None = None
    """Digest of the machine that the blocks were timed on, where it is known."""
    blocks: tuple[LatencyBlock, ...] = ()
