"""The rule's errors in few simulated runs, and that the simulation applies the rule that ships.

`python -m tests.campaign.operating_characteristics` measures the same on more truths and runs. Seeds are fixed, so that
these figures are always the same; bounds are some standard errors away, in case numpy's streams change.
"""

import numpy as np
import pytest

from canary.judge import judge
from canary.judge.order import case_order
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Outcome, Profile, Rule
from tests.campaign.operating_characteristics_runs import Counts, Runs, Shape, Truth, draw_runs, judge_runs, stop_runs
from tests.support.evaluations import make_evaluation

RUNS = 600
FLOOR = Criterion(name="floor", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
MARGIN = Criterion(name="margin", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.08)
_OUTCOMES = {1: Outcome.PASSED, -1: Outcome.FAILED, 0: Outcome.INCONCLUSIVE}


def counts_of(truth: Truth, shape: Shape, *, floor: float = 0.0) -> Counts:
    runs = draw_runs(np.random.default_rng(20261125), truth, shape, runs=RUNS)
    return judge_runs(runs, profile="full", margin=0.05, floor=floor)


def test_a_candidate_at_the_margin_is_seldom_promoted() -> None:
    # 3.4 % in the long run; peeking without boundaries promotes 19 %.
    assert 0.005 < counts_of(Truth(-0.05, 0.10, reference=0.95), Shape(400)).promoted < 0.07


@pytest.mark.parametrize(("share", "part"), [(0.05, 1.0), (0.10, 0.5)])
def test_a_candidate_whose_families_break_is_seldom_promoted(share: float, part: float) -> None:
    # 5 % in the long run; cases counted as independent promote 9 %.
    truth = Truth(0.0, 0.06, reference=0.95, broken_families=share, broken_part=part)
    assert counts_of(truth, Shape(100, 4)).promoted < 0.085


@pytest.mark.parametrize("shape", [Shape(400), Shape(100, 4)])
def test_a_candidate_that_equals_the_incumbent_is_promoted(shape: Shape) -> None:
    assert counts_of(Truth(0.0, 0.06), shape, floor=0.8).promoted > 0.93


@pytest.mark.parametrize(("change", "most_cases"), [(-0.4, 30), (-0.2, 60)])
def test_a_damaged_candidate_is_rejected_early(change: float, most_cases: int) -> None:
    counts = counts_of(Truth(change, 0.06 - change), Shape(400), floor=0.8)
    assert counts.rejected == 1.0
    assert counts.mean_cases < most_cases


@pytest.mark.parametrize("profile", ["full", "quick"])
@pytest.mark.parametrize(
    ("truth", "shape"),
    [
        (Truth(0.0, 0.06), Shape(120)),
        (Truth(-0.05, 0.10), Shape(120)),
        (Truth(-0.15, 0.20), Shape(100, 2)),
        (Truth(0.0, 0.06, broken_families=0.1, broken_part=0.5), Shape(95, 3)),
    ],
)
def test_the_simulation_and_the_judge_stop_every_run_alike(truth: Truth, shape: Shape, profile: Profile) -> None:
    drawn = draw_runs(np.random.default_rng(7), truth, shape, runs=6)
    bare = record({"incumbent": [0.0] * len(drawn.families), "candidate": [0.0] * len(drawn.families)}, drawn, profile)
    order = [int(case.id.removeprefix("case-")) for case in case_order(bare.cases, bare.seed)]
    runs = Runs(
        drawn.candidate[:, order],
        drawn.incumbent[:, order],
        tuple(drawn.families[column] for column in order),
        drawn.categories,
    )
    outcomes, cases = stop_runs(runs, profile=profile, margin=MARGIN.bound, floor=FLOOR.bound)
    for row in range(6):
        results = {"incumbent": drawn.incumbent[row].tolist(), "candidate": drawn.candidate[row].tolist()}
        (judgement,) = judge(record(results, drawn, profile))
        assert judgement.stopping is not None
        expected = (_OUTCOMES[int(outcomes[row])], int(cases[row]))
        assert (judgement.verdict.outcome, judgement.stopping.cases) == expected


def record(results: dict[str, list[float]], runs: Runs, profile: Profile) -> Evaluation:
    categories = [str(int(name.split()[1]) % runs.categories) for name in runs.families]
    return make_evaluation(
        results, families=runs.families, categories=categories, profile=profile, criteria=(FLOOR, MARGIN)
    )
