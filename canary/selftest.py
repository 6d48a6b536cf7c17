"""Try the judge on this machine: what is sound must pass, and each planted fault must be found."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import numpy as np

from canary.builds import build
from canary.client import GatewayClient
from canary.golden import Golden, golden_answers
from canary.judge import judge, judge_fidelity
from canary.phases.fidelity import Scorer, measure_fidelity
from canary.programs.families import GENERATOR_VERSION
from canary.suite import Suite, load_suite, with_heldout
from canary.workflow import Progress, evaluate, line_up
from gateway.contracts.admin import VariantView
from gateway.contracts.builds import BuildKind, BuildRequest, BuildView, Training
from gateway.contracts.deployments import Deployment
from gateway.contracts.evaluations import CaseRef, Criterion, Evaluation, Grade, Metric, Outcome, Rule, System, Trial
from gateway.contracts.heldout import Heldout
from gateway.contracts.suites import QUICK_MARGIN, Protocol
from gateway.contracts.winner import choose_winner

GOLDEN_SUITE = "phase26"
"""Whose families the golden programs are drawn from, the same for every self-test."""
TRAINED_COUNT = 40
SCORED_COUNT = 24
"""Of other families than those that were trained on."""
TRAINING_STEPS = 39
"""As many as the adapter took that the limits were measured with (`python -m tests.campaign.fidelity`)."""
TRAINING_LIMIT_S = 1800.0
"""For a machine that is busy with other things; a quiet one with two cores needs a few minutes."""
TRAINED_LAYERS = 16
LEARNING_RATE = 1.5e-4
SOUND_BITS = 8
LOST_BITS = 4
"""At which an adapter is fused into quantised weights: few enough that rounding takes it away again."""
SAME_CASES = 24
"""Cases on which the model that serves is judged against itself: too few to show that it is as good."""
TWIN_MARGIN = Criterion(
    name="accuracy_vs_incumbent", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=QUICK_MARGIN
)
NOISE_DRAWS = 100
NOISE_ACCURACY = 0.8
"""Of both, each case drawn apart: a third of the cases differ."""
MOST_WRONG = 11
"""Of the draws. The judge errs in 1 of 20 at most, which comes to more than this in less than one self-test of 100."""
_WORDS = {
    Outcome.INCONCLUSIVE: "not worse, not promoted",
    Outcome.PASSED: "promoted",
    Outcome.FAILED: "worse than itself",
    Outcome.ERRORED: "no answers to judge",
}


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """A build, and whether it must be rejected."""

    what: str
    kind: BuildKind
    bits: int
    broken: bool = True


PLANTED = (
    Planted(what="a sound build", kind=BuildKind.FUSE, bits=SOUND_BITS, broken=False),
    Planted(what="re-quantised fuse", kind=BuildKind.REQUANTISED_FUSE, bits=LOST_BITS),
    Planted(what="dropped adapter", kind=BuildKind.DROPPED_ADAPTER, bits=SOUND_BITS),
    Planted(what="wrong chat template", kind=BuildKind.WRONG_TEMPLATE, bits=SOUND_BITS),
    Planted(what="shuffled layer", kind=BuildKind.SHUFFLED_LAYER, bits=SOUND_BITS),
    Planted(what="truncated tokenizer", kind=BuildKind.TRUNCATED_TOKENIZER, bits=SOUND_BITS),
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    planted: str
    expected: str
    found: str
    as_it_must_be: bool
    build_s: float | None = None
    """Of the job that made it, in an earlier run too; None where nothing was made."""
    judge_s: float | None = None


def golden_programs(search_path: list[Path]) -> tuple[Golden, ...]:
    """Return programs to train on and to score, asked for without the tools' stubs: an adapter has more to learn."""
    suite = load_suite(GOLDEN_SUITE, search_path=search_path)
    one_a_family = msgspec.structs.replace(
        suite,
        manifest=msgspec.structs.replace(suite.manifest, heldout=Heldout(generator=GENERATOR_VERSION, per_family=1)),
    )
    drawn = with_heldout(one_a_family, incumbent_digest="0" * 64, campaign=1)
    goldens = golden_answers(drawn, most=TRAINED_COUNT + SCORED_COUNT)
    return tuple(msgspec.structs.replace(golden, messages=golden.messages[-1:]) for golden in goldens)


def planted_faults(
    gateway: GatewayClient, deployment: Deployment, model: str | None, goldens: tuple[Golden, ...], progress: Progress
) -> Iterator[Finding]:
    """Train an adapter, make each build, and yield what its fidelity shows. Engines that this loads are unloaded."""
    incumbent = gateway.variant(deployment.incumbent).variant
    scorer = Scorer(gateway, goldens[TRAINED_COUNT:], model=deployment.model, note=progress.note)
    adapter = trained_adapter(gateway, model, goldens, progress.note)
    yield Finding(
        planted="nothing yet: the adapter",
        expected="trained",
        found=f"trained in {TRAINING_STEPS} steps",
        as_it_must_be=True,
        build_s=seconds_of(adapter),
    )
    for planted in PLANTED:
        order = {"kind": planted.kind, "model": model, "adapter": adapter.path, "bits": planted.bits}
        made = build(gateway, msgspec.convert(order, BuildRequest), progress.note)
        started_s = time.monotonic()
        view = gateway.register(made.path)
        with _loaded(gateway, view):
            judgement = judge_fidelity(measure_fidelity(scorer, view.variant, incumbent))
        yield Finding(
            planted=planted.what,
            expected="rejected" if planted.broken else "not rejected",
            found="; ".join(judgement.findings) or "nothing",
            as_it_must_be=judgement.rejected is planted.broken,
            build_s=seconds_of(made),
            judge_s=time.monotonic() - started_s,
        )


def trained_adapter(
    gateway: GatewayClient, model: str | None, goldens: tuple[Golden, ...], note: Callable[[str], None]
) -> BuildView:
    """Have a small adapter trained on the first of the golden programs.

    It changes many layers by little, less than a step of a coarse quantisation, as real adapters do.
    """
    training = Training(
        examples=tuple(golden.example() for golden in goldens[:TRAINED_COUNT]),
        steps=TRAINING_STEPS,
        layers=TRAINED_LAYERS,
        learning_rate=LEARNING_RATE,
        limit_s=TRAINING_LIMIT_S,
    )
    return build(gateway, BuildRequest(kind=BuildKind.TRAIN, model=model, training=training), note)


def seconds_of(made: BuildView) -> float | None:
    """Return how long the job took that made it, also where that was in an earlier run."""
    return None if made.provenance is None else made.provenance.took_s


def against_itself(
    gateway: GatewayClient, deployment: Deployment, suite: Suite, progress: Progress
) -> Iterator[Finding]:
    """Judge the model that serves against itself, and then noise: nothing may be rejected, and nothing promoted."""
    started_s = time.monotonic()
    # Under this profile every case is tried, whatever the floor, and no time is measured; `as_twins` sets the one that
    # decides on evidence.
    manifest = msgspec.structs.replace(suite.manifest, profile="seed", protocol=Protocol(), heldout=None)
    few = msgspec.structs.replace(suite, cases=suite.cases[:SAME_CASES], manifest=manifest)
    lineup = line_up(gateway, deployment, [gateway.variant(deployment.incumbent).reference])
    with ExitStack() as engines:
        twins = as_twins(evaluate(gateway, lineup, few, engines=engines, progress=progress))
    judged_s = time.monotonic()
    outcome = _outcome(twins)
    yield Finding(
        planted="the model that serves, against itself",
        expected="not worse, not promoted",
        found=_WORDS[outcome],
        as_it_must_be=outcome is Outcome.INCONCLUSIVE,
        judge_s=judged_s - started_s,
    )
    progress.note(f"Judging {2 * NOISE_DRAWS} runs whose grades are drawn.")
    yield from _of_noise(twins, tuple(case.reference() for case in suite.cases))


def _of_noise(twins: Evaluation, cases: tuple[CaseRef, ...]) -> Iterator[Finding]:
    margin = TWIN_MARGIN.bound
    for what, behind, wrong in (
        ("noise, both alike", 0.0, Outcome.FAILED),
        (f"noise, worse by the margin of {margin:.0%}", margin, Outcome.PASSED),
    ):
        started_s = time.monotonic()
        counts = Counter(_outcome(run) for run in drawn_runs(twins, cases, behind=behind))
        verb = "rejected" if wrong is Outcome.FAILED else "promoted"
        yield Finding(
            planted=what,
            expected=f"{verb} in 1 of 20 at most",
            found=f"{verb} in {counts[wrong]} of {NOISE_DRAWS} runs of {len(cases)} cases",
            as_it_must_be=counts[wrong] <= MOST_WRONG,
            judge_s=time.monotonic() - started_s,
        )


def as_twins(evaluation: Evaluation) -> Evaluation:
    """Return the record of a run of a variant against itself as if the second were another, which can be promoted.

    Without that, the trials of both are one set to the judge, which then finds no difference whatever they say.
    """
    variant = evaluation.incumbent.variant
    # A limit that changes nothing and makes another digest.
    limits = msgspec.structs.replace(variant.limits, max_completion_tokens=variant.engine.context_length)
    twin = msgspec.structs.replace(variant, limits=limits)
    seen: set[str] = set()
    trials: list[Trial] = []
    for trial in evaluation.trials:
        trials.append(msgspec.structs.replace(trial, variant_digest=twin.digest) if trial.case_id in seen else trial)
        seen.add(trial.case_id)
    (candidate,) = evaluation.candidates
    systems = (evaluation.incumbent, msgspec.structs.replace(candidate, variant=twin))
    return msgspec.structs.replace(
        evaluation,
        systems=systems,
        trials=tuple(trials),
        profile="quick",
        criteria=(TWIN_MARGIN,),
    )


def drawn_runs(twins: Evaluation, cases: tuple[CaseRef, ...], *, behind: float) -> Iterator[Evaluation]:
    """Yield runs of all the cases, in which each twin is right by chance, and the second `behind` less often."""
    generator = np.random.default_rng(twins.seed)
    for _ in range(NOISE_DRAWS):
        trials = tuple(
            _drawn(twins.trials[0], case, system, right=bool(generator.random() < chance))
            for case in cases
            for system, chance in zip(twins.systems, (NOISE_ACCURACY, NOISE_ACCURACY - behind), strict=True)
        )
        yield msgspec.structs.replace(twins, cases=cases, trials=trials)


def _drawn(like: Trial, case: CaseRef, system: System, *, right: bool) -> Trial:
    grade = Grade(value=float(right), reason="drawn")
    return msgspec.structs.replace(like, case_id=case.id, variant_digest=system.variant.digest, grade=grade)


def _outcome(evaluation: Evaluation) -> Outcome:
    """Return `passed` where the candidate would be promoted, `failed` where it is found worse."""
    judged = msgspec.structs.replace(evaluation, judgements=judge(evaluation))
    if choose_winner(judged) is not None:
        return Outcome.PASSED
    outcome = judged.judgements[0].verdict.outcome
    return Outcome.INCONCLUSIVE if outcome is Outcome.PASSED else outcome


@contextmanager
def _loaded(gateway: GatewayClient, view: VariantView) -> Generator[None]:
    """Have the engine loaded in the block, and leave one that was loaded: it may be what serves."""
    engines = {engine.engine_digest for engine in gateway.engines()}
    gateway.load_engine(view.reference)
    try:
        yield
    finally:
        if view.variant.engine.digest not in engines:
            gateway.unload_engine(view.reference)
