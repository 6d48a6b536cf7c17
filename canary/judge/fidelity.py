"""Say whether golden answers, forced on a candidate, show that its build is broken. This may reject, and no more."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from canary.judge.statistics import student_quantile
from gateway.contracts.evaluations import Evaluation, System
from gateway.contracts.fidelity import FidelityJudgement, FidelityRecord, GoldenScore

KL_LIMIT_NATS = 0.5
"""A token, from the model in float. `python -m tests.campaign.fidelity` measures sound and broken builds."""
SAME_TOP_LIMIT = 0.75
DECISION_SAME_TOP_LIMIT = 0.75
RETENTION_LIMIT = 0.7
"""Of an adapter's gain. A build that has lost the adapter keeps none, one of 4 bits nearly all."""
LOSS_LIMIT_NATS_PER_BYTE = 0.5
"""From the incumbent, whatever its tokenizer: about what a model loses that cannot read its prompt any more."""
LEAST_GAIN_NATS_PER_TOKEN = 0.05
"""An adapter that gains less on the golden answers has nothing that retention could be measured by."""

_Z = 1.645
"""One-sided 95 %: a phase that may reject must not do so by chance."""
_LEAST_FAMILIES = 2


class Ratio(NamedTuple):
    """A sum over a sum, with one-sided bounds over families; without bounds below two of these."""

    value: float
    low: float
    high: float


def fidelity_of(evaluation: Evaluation, system: System) -> FidelityJudgement | None:
    """Return what the record shows of a candidate, None where its fidelity was not measured."""
    record = next((each for each in evaluation.fidelity if each.variant_digest == system.variant.digest), None)
    return None if record is None else judge_fidelity(record)


def rejected(evaluation: Evaluation) -> frozenset[str]:
    """Return the digests of the candidates whose builds are shown to be broken."""
    return frozenset(record.variant_digest for record in evaluation.fidelity if judge_fidelity(record).rejected)


def judge_fidelity(record: FidelityRecord) -> FidelityJudgement:
    answers = record.answers
    compared = [each for each in answers if each.token_count]
    ratio = _ratios(compared)
    kl = ratio(lambda each: each.kl_nats, lambda each: each.token_count)
    same_top = ratio(lambda each: each.same_top_count, lambda each: each.token_count)
    flips = ratio(lambda each: each.flip_count, lambda each: each.token_count)
    decisions = ratio(lambda each: each.decision_same_top_count, lambda each: each.decision_count)
    loss = _ratios(answers)(_lost_nats, lambda each: each.answer_bytes)
    retention = _retention(compared)
    findings = [
        *(_mismatches(answers) if record.against == "source" else ()),
        *(_of_source(kl, same_top, decisions) if record.against == "source" else ()),
        *_of_adapter(retention),
        *_of_answers(loss),
    ]
    return FidelityJudgement(
        rejected=bool(findings),
        findings=tuple(findings),
        answers=len(answers),
        tokens=sum(each.token_count for each in compared),
        kl_nats_per_token=_value(kl),
        same_top_ratio=_value(same_top),
        flip_ratio=_value(flips),
        decision_same_top_ratio=_value(decisions),
        retention=_value(retention),
        retention_high=None if retention is None or not math.isfinite(retention.high) else retention.high,
        loss_nats_per_byte=_value(loss),
    )


def _mismatches(answers: Sequence[GoldenScore]) -> Iterator[str]:
    prompts = [each for each in answers if each.prompt_differs_at is not None]
    if prompts:
        yield (
            f"{len(prompts)} of {len(answers)} prompts become other tokens than its source makes of them, the first at "
            f"token {prompts[0].prompt_differs_at}: its chat template or tokenizer is another"
        )
    spoken = [each for each in answers if each.answer_differs_at is not None]
    if spoken:
        yield (
            f"{len(spoken)} of {len(answers)} golden answers become other tokens than its source makes of them, the "
            f"first at token {spoken[0].answer_differs_at}: its tokenizer is another"
        )


def _of_source(kl: Ratio | None, same_top: Ratio | None, decisions: Ratio | None) -> Iterator[str]:
    if kl is not None and kl.low > KL_LIMIT_NATS:
        yield (
            f"it diverges from its source by {kl.value:.2f} nats a token (at least {kl.low:.2f}; "
            f"{KL_LIMIT_NATS} is allowed): its weights are not the source's"
        )
    if same_top is not None and same_top.high < SAME_TOP_LIMIT:
        yield (
            f"it agrees with its source on {same_top.value:.0%} of the likeliest tokens (at most {same_top.high:.0%}; "
            f"{SAME_TOP_LIMIT:.0%} is asked for)"
        )
    if decisions is not None and decisions.high < DECISION_SAME_TOP_LIMIT:
        yield (
            f"it agrees with its source on {decisions.value:.0%} of the tokens that decide (at most "
            f"{decisions.high:.0%}; {DECISION_SAME_TOP_LIMIT:.0%} is asked for)"
        )


def _of_adapter(retention: Ratio | None) -> Iterator[str]:
    if retention is not None and retention.high < RETENTION_LIMIT:
        yield (
            f"it keeps {retention.value:.0%} of what the adapter gains on golden answers (at most "
            f"{retention.high:.0%}; {RETENTION_LIMIT:.0%} is asked for): the adapter was lost in the build"
        )


def _of_answers(loss: Ratio | None) -> Iterator[str]:
    if loss is not None and loss.low > LOSS_LIMIT_NATS_PER_BYTE:
        yield (
            f"golden answers are less likely by {loss.value:.2f} nats a byte than by the reference (at least "
            f"{loss.low:.2f}; {LOSS_LIMIT_NATS_PER_BYTE} is allowed)"
        )


def _lost_nats(answer: GoldenScore) -> float:
    return answer.reference_logprob - answer.candidate_logprob


def _retention(answers: Sequence[GoldenScore]) -> Ratio | None:
    """Return the slope of the candidate's gain on each token over the adapter's, by least squares with an intercept.

    A build without the adapter has a slope of about 0, whatever its quantisation costs, and one with it of about 1.
    Bounds are Student's, with residuals summed within families. None where no base was scored, or there is no gain.
    """
    scored = [each for each in answers if each.base_logprob is not None]
    tokens = sum(each.token_count for each in scored)
    if not tokens:
        return None
    gain = [each.reference_logprob - (each.base_logprob or 0.0) for each in scored]
    kept = [each.candidate_logprob - (each.base_logprob or 0.0) for each in scored]
    if math.fsum(gain) / tokens < LEAST_GAIN_NATS_PER_TOKEN:
        return None
    mean_gain, mean_kept = math.fsum(gain) / tokens, math.fsum(kept) / tokens
    # Of each answer: its part of the two sums over (gain - its mean), times (kept - its mean) and squared.
    products = [
        each.gain_product - mean_gain * y - mean_kept * x + each.token_count * mean_gain * mean_kept
        for each, x, y in zip(scored, gain, kept, strict=True)
    ]
    squares = [
        each.gain_square - 2 * mean_gain * x + each.token_count * mean_gain**2
        for each, x in zip(scored, gain, strict=True)
    ]
    return _clustered([each.family for each in scored], products, squares)


Figure = Callable[[GoldenScore], float]


def _ratios(answers: Sequence[GoldenScore]) -> Callable[[Figure, Figure], Ratio | None]:
    """Return what makes the ratio of two sums over the answers."""
    families = [each.family for each in answers]

    def ratio(above: Figure, below: Figure) -> Ratio | None:
        return _clustered(families, list(map(above, answers)), list(map(below, answers)))

    return ratio


def _clustered(families: Sequence[str], above: Sequence[float], below: Sequence[float]) -> Ratio | None:
    """Return the ratio of two sums, None where the lower one is not positive.

    The variance is that of the linearised ratio, summed within families (Cochran 1977, section 6.3), with Student's
    bounds.
    """
    total = math.fsum(below)
    if total <= 0:
        return None
    value = math.fsum(above) / total
    errors: dict[str, list[float]] = defaultdict(list)
    for family, over, under in zip(families, above, below, strict=True):
        errors[family].append(over - value * under)
    count = len(errors)
    if count < _LEAST_FAMILIES:
        return Ratio(value, -math.inf, math.inf)
    squares = math.fsum(math.fsum(of_family) ** 2 for of_family in errors.values())
    reach = student_quantile(_Z, count - 1) * math.sqrt(squares * count / (count - 1)) / total
    return Ratio(value, value - reach, value + reach)


def _value(ratio: Ratio | None) -> float | None:
    return None if ratio is None else ratio.value
