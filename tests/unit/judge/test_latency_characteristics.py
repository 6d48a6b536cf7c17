"""The latency rule's errors in few simulated runs, and that its committed table meets every demand.

`python -m tests.campaign.latency_characteristics` measures the same on more truths and runs. Seeds are fixed.
"""

from pathlib import Path

import pytest

import canary.cli
from tests.campaign.latency_characteristics import TABLE, Truth, measure, missed_demand, truths
from tests.campaign.latency_characteristics import Shares as Measured


@pytest.mark.parametrize("drift", [0.0, 0.3])
def test_a_candidate_at_the_limit_seldom_passes_however_the_machine_drifts(drift: float) -> None:
    # 5 % is nominal, with a standard error of 1.5; all of one arm and then all of the other passes 29 %.
    assert measure(Truth("at the limit", 1.10, steady_drift=drift), runs=200).passed < 0.10


def test_no_slow_down_passes_and_a_large_one_never_does() -> None:
    assert measure(Truth("equal"), runs=100).passed > 0.95
    slower = measure(Truth("slower", 1.25), runs=100)
    assert (slower.passed, slower.failed) == (0.0, 1.0)


def test_where_nothing_varies_much_the_first_look_ends_the_measurement() -> None:
    assert measure(Truth("quiet", noise=0.1), runs=20) == Measured(passed=1.0, failed=0.0, cycles=5.0)


def test_the_committed_table_has_every_truth_and_meets_every_demand() -> None:
    rows = [
        line.split(" | ")
        for line in TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| truth")
    ]
    demanded = list(truths())
    assert [row[0].removeprefix("| ") for row in rows] == [truth.name for truth in demanded]
    for row, truth in zip(rows, demanded, strict=True):
        assert missed_demand(truth, Measured(float(row[1]), float(row[2]), float(row[4]))) is None


def test_the_rows_of_the_readme_stand_in_the_committed_table() -> None:
    readme = (Path(canary.cli.__file__).parent / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("### Times and memory") : readme.index("### Its errors, measured")]
    documented = [line for line in section.splitlines() if line.startswith("| ") and "truth" not in line]
    assert len(documented) > 5
    assert set(documented) <= set(TABLE.read_text(encoding="utf-8").splitlines())
