"""What the fidelity phase measured: golden answers, forced on a candidate and on the reference that it should equal."""

from typing import Literal

import msgspec


class GoldenScore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One golden answer. Logarithms are natural; counts and sums are over the answer's tokens."""

    case_id: str
    family: str
    prompt_differs_at: int | None = None
    """First token of the prompt that the candidate's template and tokenizer render otherwise than the reference's."""
    answer_differs_at: int | None = None
    """The same of the answer. Where it is given, token-by-token figures are 0: there is nothing to compare."""
    answer_bytes: int
    token_count: int = 0
    """Tokens that were compared."""
    kl_nats: float = 0.0
    """Sum of the Kullback-Leibler divergences of the candidate from the reference, over the reference's likeliest
    tokens and one bucket for all others: a lower bound of the whole."""
    kl_max_nats: float = 0.0
    same_top_count: int = 0
    """Positions at which both hold the same token likeliest."""
    flip_count: int = 0
    """Positions at which one of the two holds the golden token likeliest and the other does not."""
    decision_count: int = 0
    """Tokens that decide: those in which a name that the prompt gives, a number or a comparison stands."""
    decision_same_top_count: int = 0
    decision_kl_nats: float = 0.0
    candidate_logprob: float
    """Of the whole answer."""
    reference_logprob: float
    base_logprob: float | None = None
    """By the model without the adapter, where the candidate's provenance names one. With the two that follow, it says
    how the candidate's gain on single tokens follows the adapter's."""
    gain_square: float = 0.0
    """Sum of the squares of what the adapter gains on each token: the reference's log-probability less the base's."""
    gain_product: float = 0.0
    """Sum of the products of that and of what the candidate gains on the same token."""


class FidelityRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One candidate's."""

    variant_digest: str
    reference_digest: str
    """Digest of the Variant that was scored as the reference."""
    against: Literal["source", "incumbent"]
    """`source`: the model in float that the build was made of, which it should equal but for quantisation."""
    base_digest: str | None = None
    top_k: int
    answers: tuple[GoldenScore, ...] = ()
    """Empty where nothing could be scored; `detail` says why."""
    detail: str = ""
    wall_time_s: float = 0.0


class FidelityJudgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pure function of a FidelityRecord. It may reject, and never promotes or ranks."""

    rejected: bool
    findings: tuple[str, ...]
    """Why it is rejected, each a sentence; empty where it is not."""
    answers: int
    tokens: int
    kl_nats_per_token: float | None = None
    same_top_ratio: float | None = None
    flip_ratio: float | None = None
    decision_same_top_ratio: float | None = None
    retention: float | None = None
    """The share of the adapter's effect on golden answers that the candidate has kept: the slope of its gain on each
    token over the adapter's. What quantisation costs on all tokens alike is no part of it."""
    retention_high: float | None = None
    """One-sided 95 % upper bound, over families."""
    loss_nats_per_byte: float | None = None
    """By how much less likely the golden answers are than by the reference; it compares across tokenizers."""
