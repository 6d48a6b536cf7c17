"""What fidelity rejects, from records that are made up; and that it changes nothing else."""

from collections.abc import Sequence

import msgspec
import pytest

from canary.judge import FIDELITY, InconsistentRecord, Watch, judge, judge_fidelity, rejected, same_judgement
from gateway.contracts.evaluations import Evaluation, Outcome
from gateway.contracts.fidelity import FidelityRecord, GoldenScore
from tests.support.evaluations import make_evaluation, make_variant

CANDIDATE = make_variant("candidate").digest


def golden(number: int, **changes: object) -> GoldenScore:
    """Return what a sound build shows: 20 tokens, 8 of which decide, that gain 1 nat each by the adapter, unevenly."""
    sound = GoldenScore(
        case_id=f"case-{number:03}",
        family=f"family {number}",
        answer_bytes=80,
        token_count=20,
        kl_nats=0.2,
        kl_max_nats=0.05,
        same_top_count=19,
        flip_count=1,
        decision_count=8,
        decision_same_top_count=8,
        candidate_logprob=-10.2,
        reference_logprob=-10.0,
        base_logprob=-30.0,
        gain_square=40.0,
        gain_product=39.0,
    )
    return msgspec.structs.replace(sound, **changes)


def record(answers: Sequence[GoldenScore], **changes: object) -> FidelityRecord:
    made = FidelityRecord(
        variant_digest=CANDIDATE, reference_digest="r", against="source", top_k=64, answers=tuple(answers)
    )
    return msgspec.structs.replace(made, **changes)


def every(**changes: object) -> FidelityRecord:
    return record([golden(number, **changes) for number in range(16)])


def evaluation(*records: FidelityRecord) -> Evaluation:
    made = make_evaluation({"incumbent": [1.0] * 20, "candidate": [1.0] * 20})
    return msgspec.structs.replace(made, fidelity=records)


def test_a_sound_build_is_not_rejected_and_its_figures_are_told() -> None:
    judgement = judge_fidelity(every())
    assert not judgement.rejected
    assert judgement.tokens == 320
    assert judgement.kl_nats_per_token == pytest.approx(0.01)
    assert judgement.same_top_ratio == pytest.approx(0.95)
    assert judgement.flip_ratio == pytest.approx(0.05)
    assert judgement.retention == pytest.approx((39 - 19.8) / (40 - 20))


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"kl_nats": 60.0}, "diverges from its source by 3.00 nats a token"),
        ({"same_top_count": 9, "decision_same_top_count": 8}, "on 45% of the likeliest tokens"),
        ({"decision_same_top_count": 3}, "on 38% of the tokens that decide"),
        ({"prompt_differs_at": 4}, "16 of 16 prompts become other tokens than its source makes of them, the first at"),
        ({"answer_differs_at": 2, "token_count": 0}, "16 of 16 golden answers become other tokens"),
        ({"candidate_logprob": -100.0}, "less likely by 1.12 nats a byte"),
        # The gain on single tokens does not follow the adapter's.
        ({"candidate_logprob": -30.5, "gain_product": -0.4}, "the adapter was lost"),
    ],
)
def test_each_fault_is_rejected_by_its_own_finding(changes: dict[str, object], finding: str) -> None:
    # Counts of tokens that were not compared are 0, as the phase writes them.
    if changes.get("token_count") == 0:
        changes = {**changes, "same_top_count": 0, "flip_count": 0, "decision_count": 0, "decision_same_top_count": 0}
    judgement = judge_fidelity(every(**changes))
    assert judgement.rejected
    assert any(finding in each for each in judgement.findings), judgement.findings


def test_what_quantisation_costs_on_all_tokens_alike_does_not_lower_the_retention() -> None:
    # Each token is less likely by 0.5: the products fall by 0.5 x the gain, and the slope stays.
    costly = every(candidate_logprob=-20.2, gain_product=39.0 - 0.5 * 20)
    retention = judge_fidelity(costly).retention
    assert retention == pytest.approx(judge_fidelity(every()).retention)


def test_one_bad_answer_among_many_is_chance_and_not_a_finding() -> None:
    answers = [golden(number, kl_nats=100.0 if number == 0 else 0.2) for number in range(16)]
    judgement = judge_fidelity(record(answers))
    assert judgement.kl_nats_per_token is not None
    assert judgement.kl_nats_per_token < 0.5
    assert not judgement.rejected


def test_answers_of_one_family_are_no_evidence_by_number() -> None:
    answers = [golden(number, kl_nats=60.0, family="one") for number in range(16)]
    assert not judge_fidelity(record(answers)).rejected


def test_another_model_than_the_incumbent_is_not_rejected_for_being_another() -> None:
    other = every(prompt_differs_at=0, kl_nats=60.0, same_top_count=2, decision_same_top_count=1)
    assert not judge_fidelity(msgspec.structs.replace(other, against="incumbent")).rejected


def test_answers_that_are_far_less_likely_than_by_the_incumbent_are_rejected_whatever_the_tokenizer() -> None:
    other = every(candidate_logprob=-90.0, answer_differs_at=0)
    assert judge_fidelity(msgspec.structs.replace(other, against="incumbent")).rejected


def test_an_adapter_that_gains_nothing_cannot_be_lost() -> None:
    judgement = judge_fidelity(every(base_logprob=-10.1, gain_square=0.1, gain_product=0.0))
    assert judgement.retention is None
    assert not judgement.rejected


def test_nothing_scored_is_no_finding() -> None:
    judgement = judge_fidelity(record([], detail="no room"))
    assert not judgement.rejected
    assert judgement.answers == 0


def test_a_rejected_build_has_failed_by_fidelity_whatever_its_trials_say() -> None:
    (sound,) = judge(evaluation())
    assert sound.verdict.outcome is not Outcome.FAILED
    assert sound.fidelity is None
    broken = evaluation(every(kl_nats=60.0))
    (judgement,) = judge(broken)
    assert judgement.verdict.outcome is Outcome.FAILED
    assert judgement.verdict.decided_by == (FIDELITY,)
    assert rejected(broken) == {CANDIDATE}
    assert Watch().stopped(broken) == (True,)


def test_a_good_build_does_not_pass_by_fidelity() -> None:
    lost = msgspec.structs.replace(
        make_evaluation({"incumbent": [1.0] * 20, "candidate": [0.0] * 20}), fidelity=(every(),)
    )
    (judgement,) = judge(lost)
    assert judgement.fidelity is not None
    assert not judgement.fidelity.rejected
    assert judgement.verdict.outcome is Outcome.FAILED
    assert FIDELITY not in judgement.verdict.decided_by


@pytest.mark.parametrize("profile", ["seed", "full", "quick"])
def test_a_rejected_build_without_any_trial_is_judged(profile: str) -> None:
    empty = msgspec.structs.replace(evaluation(every(kl_nats=60.0)), trials=(), profile=profile)
    (judgement,) = judge(empty)
    assert judgement.verdict.decided_by == (FIDELITY,)


def test_a_changed_figure_of_fidelity_is_another_judgement() -> None:
    (one,) = judge(evaluation(every()))
    (other,) = judge(evaluation(every(kl_nats=0.3)))
    assert same_judgement(one, one) is None
    assert "fidelity: kl_nats_per_token" in (same_judgement(one, other) or "")
    (without,) = judge(evaluation())
    assert same_judgement(one, without) is not None


@pytest.mark.parametrize(
    "records",
    [
        (record([], variant_digest="nobody"),),
        (record([]), record([])),
        (every(same_top_count=21),),
        (every(decision_same_top_count=9),),
        (every(candidate_logprob=float("nan")),),
    ],
    ids=["of no candidate", "two of one", "more than all", "more than decide", "no number"],
)
def test_a_record_that_cannot_be_is_refused(records: tuple[FidelityRecord, ...]) -> None:
    with pytest.raises(InconsistentRecord):
        judge(evaluation(*records))
