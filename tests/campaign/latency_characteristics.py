"""How often the latency rule is right, by simulation of timed blocks for several truths and disturbances.

    python -m tests.campaign.latency_characteristics

The table is written to latency_characteristics.md beside this file; the exit status is 1 where a demand is not met. As
in operating_characteristics, every truth is drawn from its own seed. What is simulated are the times: prompts differ
(log-sd 0.5), runs of one vary (0.08), and what a block shares drifts (0.05). What judges them is the judge's own code.
"""

import argparse
import math
import sys
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from canary.judge import first_look, latency_figure, look_z
from gateway.contracts.evaluations import Criterion, Metric, Outcome, Rule, Statistic
from gateway.contracts.latency import LatencyBlock
from gateway.contracts.suites import LatencyProtocol
from tests.campaign.operating_characteristics import commit
from tests.support.timed_blocks import answer, block

TABLE = Path(__file__).with_suffix(".md")
RUNS = 5_000
MARGIN = 0.10
_RULE = Criterion(
    name="no_slower", metric=Metric.END_TO_END_S, rule=Rule.NO_WORSE_THAN, statistic=Statistic.RATIO, bound=MARGIN
)
_PROMPT_SD, _RUN_SD, _BLOCK_SD = 0.5, 0.08, 0.05
_FORTH_AND_BACK = ((0, 1, 1, 0), (1, 0, 0, 1))


class Truth(NamedTuple):
    name: str
    slower: float = 1.0
    """Factor of the candidate's times."""
    cycles: int = LatencyProtocol().cycles
    steady_drift: float = 0.0
    """By which the machine is slower at the end than at the start, in steady steps."""
    slow_cycles: int = 0
    """Cycles in which the machine is half as fast."""
    noise: float = 1.0
    """Of all that varies, as a share of what it is elsewhere."""
    most_passed: float | None = None
    least_passed: float | None = None
    most_failed: float | None = None


class Shares(NamedTuple):
    passed: float
    failed: float
    cycles: float
    """That were timed, on average."""


def truths() -> Iterator[Truth]:
    yield Truth("equal", least_passed=0.95, most_failed=0.0)
    yield Truth("5 % faster", 0.95, least_passed=0.95, most_failed=0.0)
    yield Truth("5 % slower, inside the margin", 1.05)
    yield Truth("10 % slower, at the margin", 1.10, most_passed=0.05, most_failed=0.05)
    yield Truth("10 % slower, machine slows by 30 %", 1.10, steady_drift=0.3, most_passed=0.05)
    yield Truth("10 % slower, half speed in 3 cycles", 1.10, slow_cycles=3, most_passed=0.05)
    yield Truth("10 % slower, 6 cycles", 1.10, cycles=6, most_passed=0.05)
    yield Truth("10 % slower, 24 cycles", 1.10, cycles=24, most_passed=0.05)
    yield Truth("10 % slower, a tenth of the noise", 1.10, noise=0.1, most_passed=0.05, most_failed=0.05)
    yield Truth("equal, a tenth of the noise", noise=0.1, least_passed=0.95, most_failed=0.0)
    yield Truth("equal, machine slows by 30 %", steady_drift=0.3, least_passed=0.95, most_failed=0.0)
    yield Truth("15 % slower", 1.15, most_passed=0.005)
    yield Truth("25 % slower", 1.25, most_passed=0.0)
    yield Truth("50 % slower", 1.50, most_passed=0.0)


def blocks_of(generator: np.random.Generator, truth: Truth) -> list[LatencyBlock]:
    """Draw the blocks of one run, two prompts a cycle."""
    blocks: list[LatencyBlock] = []
    last = 4 * truth.cycles - 1
    for cycle in range(truth.cycles):
        prompts = generator.normal(0.0, _PROMPT_SD, 2)
        for system in _FORTH_AND_BACK[cycle % 2]:
            shared = generator.normal(0.0, truth.noise * _BLOCK_SD) + math.log1p(
                truth.steady_drift * len(blocks) / last
            )
            shared += math.log(2) if cycle < truth.slow_cycles else 0.0
            shared += math.log(truth.slower) if system else 0.0
            logs = prompts + shared + generator.normal(0.0, truth.noise * _RUN_SD, 2)
            answers = [answer(f"{2 * cycle + number}", math.exp(log)) for number, log in enumerate(logs.tolist())]
            blocks.append(block(system, cycle, answers))
    return blocks


def measure(truth: Truth, runs: int = RUNS) -> Shares:
    generator = np.random.default_rng(zlib.crc32(truth.name.encode()))
    outcomes = [conclude(blocks_of(generator, truth), planned=truth.cycles) for _ in range(runs)]
    return Shares(
        passed=sum(outcome is Outcome.PASSED for outcome, _ in outcomes) / runs,
        failed=sum(outcome is Outcome.FAILED for outcome, _ in outcomes) / runs,
        cycles=sum(cycles for _, cycles in outcomes) / runs,
    )


def conclude(blocks: Sequence[LatencyBlock], *, planned: int) -> tuple[Outcome, int]:
    """Return what the rule says where it is the only one, and after how many cycles."""
    for cycles in filter(None, (first_look(planned), planned)):
        read = [block for block in blocks if block.cycle < cycles]
        ours, theirs = ([block for block in read if block.system == system] for system in (1, 0))
        found = latency_figure(_RULE, ours, theirs, case_ids=None, z=look_z(planned, ours))
        if found.high <= MARGIN:
            return Outcome.PASSED, cycles
        if found.low > MARGIN:
            return Outcome.FAILED, cycles
    return Outcome.INCONCLUSIVE, planned


def missed_demand(truth: Truth, shares: Shares) -> str | None:
    """Return which demand the rule misses."""
    if truth.most_passed is not None and shares.passed > truth.most_passed:
        return f"passed {shares.passed:.3f}, more than {truth.most_passed:.3f}"
    if truth.least_passed is not None and shares.passed < truth.least_passed:
        return f"passed {shares.passed:.3f}, less than {truth.least_passed:.3f}"
    if truth.most_failed is not None and shares.failed > truth.most_failed:
        return f"failed {shares.failed:.3f}, more than {truth.most_failed:.3f}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each truth (default {RUNS})")
    runs: int = parser.parse_args().runs
    chosen = list(truths())
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(partial(measure, runs=runs), chosen))
    lines = [
        "# Operating characteristics of the latency rule",
        "",
        "Written by `python -m tests.campaign.latency_characteristics`",
        f"at commit {commit()}, {runs:,} runs of each truth: {LatencyProtocol().cycles} cycles of A-B-B-A with two",
        f"prompts each at most, unless it says otherwise, looked at after {first_look(LatencyProtocol().cycles)} and",
        f"at the end, and a margin of {MARGIN:.0%} of the geometric mean ratio.",
        f"Standard error of a share of 5 %: {100 * math.sqrt(0.05 * 0.95 / runs):.2f} points.",
        "",
        "| truth | passed | failed | inconclusive | cycles, mean | demanded |",
        "|---|---:|---:|---:|---:|---|",
        *(
            f"| {truth.name} | {shares.passed:.3f} | {shares.failed:.3f} | "
            f"{1 - shares.passed - shares.failed:.3f} | {shares.cycles:.1f} | {_demand_in_words(truth)} |"
            for truth, shares in zip(chosen, found, strict=True)
        ),
    ]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    missed = [
        f"{truth.name}: {complaint}"
        for truth, shares in zip(chosen, found, strict=True)
        if (complaint := missed_demand(truth, shares)) is not None
    ]
    sys.stdout.writelines(f"{line}\n" for line in (*lines, *missed))
    return 1 if missed else 0


def _demand_in_words(truth: Truth) -> str:
    demands = (
        ("passed at most {:.1%}", truth.most_passed),
        ("passed at least {:.0%}", truth.least_passed),
        ("failed at most {:.0%}", truth.most_failed),
    )
    return ", ".join(words.format(value) for words, value in demands if value is not None)


if __name__ == "__main__":
    sys.exit(main())
