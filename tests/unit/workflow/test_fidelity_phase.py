"""Divergences from listed tokens, and golden answers with what decides in them: no gateway is needed."""

import math
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.golden import Golden, golden_answers, planned_goldens
from canary.judge import judge_fidelity
from canary.phases.fidelity import Scored, Scorer, divergence_nats, measure_fidelity, reference_store
from canary.suite import Suite, default_search_path, load_suite
from gateway.contracts.builds import BuildKind, Provenance
from gateway.contracts.chat import ChatMessage
from gateway.contracts.scoring import TokenScore, TopToken
from gateway.contracts.suites import FidelityProtocol
from gateway.contracts.variants import Variant
from tests.support.evaluations import make_variant


def listed(probabilities: list[float], top_k: int) -> TokenScore:
    """Return what a gateway says of a position at which token `n` has the n-th probability."""
    ordered = sorted(enumerate(probabilities), key=lambda pair: -pair[1])
    return TokenScore(
        token=0,
        logprob=math.log(probabilities[0]),
        top=tuple(TopToken(token, math.log(probability)) for token, probability in ordered[:top_k]),
        tail_mass=math.fsum(probability for _, probability in ordered[top_k:]),
        text="x",
    )


def normalised(weights: list[float]) -> list[float]:
    return [weight / math.fsum(weights) for weight in weights]


_distribution = st.lists(st.floats(0.01, 1.0), min_size=8, max_size=8).map(normalised)


@given(p=_distribution, q=_distribution, top_k=st.integers(1, 8))
def test_a_divergence_is_never_negative_nor_more_than_the_whole(p: list[float], q: list[float], top_k: int) -> None:
    whole = math.fsum(one * math.log(one / other) for one, other in zip(p, q, strict=True))
    found = divergence_nats(listed(p, top_k), listed(q, top_k))
    assert 0 <= found <= whole + 1e-9
    if top_k == len(p):
        assert found == pytest.approx(whole, abs=1e-9)


@given(p=_distribution, top_k=st.integers(1, 8))
def test_what_is_equal_does_not_diverge(p: list[float], top_k: int) -> None:
    assert divergence_nats(listed(p, top_k), listed(p, top_k)) == pytest.approx(0.0, abs=1e-9)


def test_names_that_the_prompt_gives_numbers_and_comparisons_decide() -> None:
    golden = Golden(
        case_id="c",
        family="f",
        messages=(ChatMessage(role="user", content="If the total of order O7 is over 30, send for it; result?"),),
        answer="o = get(order='O7')\nif o['total'] >= 30.5:\n    result = send(o)",
    )
    decisive = [golden.answer[first:last] for first, last in golden.decisive_spans()]
    assert decisive == ["order", "O7", "total", ">=", "30.5", "send"]


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suite("phase26", search_path=default_search_path(os.environ))


def test_programs_are_written_as_a_model_has_to_write_them(suite: Suite) -> None:
    goldens = golden_answers(suite, most=64)
    graders = {case.id: case.grader for case in suite.cases}
    programs = [golden for golden in goldens if golden.answer.startswith("```python\n")]
    assert len(programs) >= 15
    assert graders[programs[0].case_id].grade(programs[0].answer).value == 1.0  # pyright: ignore[reportAttributeAccessIssue] - an oracle is graded


def test_fidelity_is_measured_by_default_where_evidence_decides_and_never_on_a_handful(suite: Suite) -> None:
    assert len(planned_goldens(suite)) == min(24, len(golden_answers(suite, most=64)))
    assert planned_goldens(msgspec.structs.replace(suite, cases=suite.cases[:7])) == ()
    seed = msgspec.structs.replace(suite.manifest, profile="seed")
    assert planned_goldens(msgspec.structs.replace(suite, manifest=seed)) == ()
    asked = msgspec.structs.replace(
        seed, protocol=msgspec.structs.replace(seed.protocol, fidelity=FidelityProtocol(answers=9))
    )
    assert len(planned_goldens(msgspec.structs.replace(suite, manifest=asked))) == 9


def test_scores_are_kept_where_the_user_says() -> None:
    assert reference_store({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/gateway-canary/references")


class Told(Scorer):
    """A scorer with the scores at hand: each token's log-probability, by what is scored."""

    def __init__(self, logprobs: dict[str, list[float]], *, reference: str | None, base: str | None) -> None:
        self.goldens = [
            Golden(
                case_id=family,
                family=family,
                messages=(ChatMessage(role="user", content="Say it."),),
                answer="x" * len(logprobs["candidate"]),
            )
            for family in ("one", "two", "three")
        ]
        self._logprobs = logprobs
        self._provenance = Provenance(
            kind=BuildKind.FUSE, digest="d", model="/m", model_digest="m", reference=reference, base=base
        )

    def provenance(self, variant: Variant) -> Provenance:
        del variant
        return self._provenance

    def score(self, variant: Variant) -> list[Scored]:
        return self._of(variant.name)

    def score_apart(self, directory: str) -> tuple[str, list[Scored]] | None:
        return None if directory == "/gone" else (directory, self._of(directory))

    def _of(self, name: str) -> list[Scored]:
        positions = tuple(listed([math.exp(each), -math.expm1(each)], 2) for each in self._logprobs[name])
        return [Scored(prompt=(1, 2), positions=positions) for _ in self.goldens]


BASE, WHOLE = [-3.0, -2.0, -1.0, -2.5], [-0.5, -1.5, -0.9, -0.2]


@pytest.mark.parametrize(
    ("kept", "retention"),
    [(WHOLE, 1.0), (BASE, 0.0), ([(a + b) / 2 for a, b in zip(BASE, WHOLE, strict=True)], 0.5)],
    ids=["all", "nothing", "half"],
)
def test_what_is_left_of_an_adapter_is_read_from_the_source_and_its_base(kept: list[float], retention: float) -> None:
    scorer = Told({"candidate": kept, "/float": WHOLE, "/base": BASE}, reference="/float", base="/base")
    record = measure_fidelity(scorer, make_variant("candidate"), make_variant("incumbent"))
    assert (record.against, record.reference_digest, record.base_digest) == ("source", "/float", "/base")
    judgement = judge_fidelity(record)
    assert judgement.retention == pytest.approx(retention)
    assert any("the adapter was lost" in finding for finding in judgement.findings) is (retention < 0.7)


def test_where_the_source_is_not_to_be_had_the_incumbent_stands_in() -> None:
    scorer = Told({"candidate": BASE, "incumbent": WHOLE}, reference="/gone", base="/base")
    record = measure_fidelity(scorer, make_variant("candidate"), make_variant("incumbent"))
    assert (record.against, record.base_digest) == ("incumbent", None)
    assert judge_fidelity(record).retention is None
