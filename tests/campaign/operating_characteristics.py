"""How often the judge's rule is right, by simulation of thousands of runs for each of many truths.

    python -m tests.campaign.operating_characteristics

The table is written to operating_characteristics.md beside this file, and stands in canary/README.md as well; the exit
status is 1 where one of the demands below is not met. Every truth is drawn from its own seed, so that two machines with
the same numpy print the same table, and one row can be made alone (--only WORD).
"""

import argparse
import itertools
import math
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateway.contracts.evaluations import Profile
from tests.campaign.operating_characteristics_runs import Counts, Shape, Truth, add_counts, draw_runs, judge_runs

TABLE = Path(__file__).with_suffix(".md")
RUNS = 5_000
_BATCH = 1_000
"""Runs that are drawn at a time: what fits in a cache."""


class Scenario(NamedTuple):
    group: str
    name: str
    profile: Profile
    truth: Truth
    shape: Shape
    margin: float = 0.05
    floor: float = 0.80
    most_promoted: float | None = None
    """Demands, where there are any."""
    least_promoted: float | None = None
    most_rejected: float | None = None
    most_cases: float | None = None


_ALONE = Shape(400)
_QUICK_MARGIN = 0.10
_INDEPENDENT = "full: 400 independent cases, reference 90 %, floor 80 %, margin 5 points"
_AT_MARGIN = "full: worse by the margin, independent cases, reference 95 %, no floor"
_CLUSTERED = "full: families that break, worse by the margin"
_AT_FLOOR = "full: equal to an incumbent whose accuracy is the floor"
_UNHARMED = "full: no worse on the whole, but different"
_QUICK = "quick: 200 independent cases, margin 10 points"


def scenarios() -> Iterator[Scenario]:
    yield from _independent()
    yield from _at_margin()
    yield from _clustered()
    yield from _at_floor()
    yield from _unharmed()
    yield from _quick()


def _independent() -> Iterator[Scenario]:
    for change, discordance in itertools.product((0.02, 0.0, -0.02, -0.10), (0.06, 0.10, 0.15)):
        demanded = 0.95 if (change, discordance) == (0.0, 0.06) else None
        truth = Truth(change, discordance)
        yield Scenario(_INDEPENDENT, _in_words(truth), "full", truth, _ALONE, least_promoted=demanded)
    for change, most_cases in ((-0.20, 60.0), (-0.40, 30.0)):
        truth = Truth(change, abs(change) + 0.06)
        yield Scenario(_INDEPENDENT, _in_words(truth), "full", truth, _ALONE, most_promoted=0.0, most_cases=most_cases)


def _at_margin() -> Iterator[Scenario]:
    # The floor is out of the way, so that the margin alone protects: the worst case.
    for discordance, count in itertools.product((0.05, 0.06, 0.08, 0.10, 0.15, 0.20, 0.30), (200, 400, 1000)):
        truth = Truth(-0.05, discordance, reference=0.95)
        name = f"{_in_words(truth)}, {count} cases"
        yield Scenario(_AT_MARGIN, name, "full", truth, Shape(count), floor=0.0, most_promoted=0.05)


def _clustered() -> Iterator[Scenario]:
    broken = (("5 % of families wholly", 0.05, 1.0), ("10 % of families half", 0.10, 0.5))
    shapes = (Shape(100, 4), Shape(133, 3), Shape(90, 4), Shape(25, 16))
    for shape, discordance, (words, share, part) in itertools.product(shapes, (0.01, 0.06, 0.10), broken):
        truth = Truth(0.0, discordance, broken_families=share, broken_part=part)
        name = f"{words}, discordance {discordance:.0%}, {shape.families} x {shape.cases_of_each}"
        yield Scenario(_CLUSTERED, name, "full", truth, shape, floor=0.0, most_promoted=0.06)
    truth = Truth(0.0, 0.06)
    yield Scenario(_CLUSTERED, f"{_in_words(truth)}, 100 x 4", "full", truth, Shape(100, 4), least_promoted=0.95)


def _at_floor() -> Iterator[Scenario]:
    # The candidate equals the incumbent, so that the floor alone protects.
    for count in (200, 400, 1000):
        truth = Truth(0.0, 0.06, reference=0.80)
        yield Scenario(_AT_FLOOR, f"{count} independent cases", "full", truth, Shape(count), most_promoted=0.05)
    for shape in (Shape(100, 4), Shape(133, 3), Shape(90, 10)):
        truth = Truth(0.0, 0.06, reference=0.97, hard_families=1 - 0.80 / 0.97)
        name = f"families that both miss, {shape.families} x {shape.cases_of_each}"
        yield Scenario(_AT_FLOOR, name, "full", truth, shape, most_promoted=0.06)


def _unharmed() -> Iterator[Scenario]:
    for share, shape in itertools.product((0.02, 0.05), (Shape(400), Shape(100, 4), Shape(40, 10))):
        truth = Truth(0.0, 0.06, broken_families=share, mended_families=share)
        name = f"{share:.0%} of families broken, {share:.0%} mended, {shape.families} x {shape.cases_of_each}"
        yield Scenario(_UNHARMED, name, "full", truth, shape, most_rejected=0.05)


def _quick() -> Iterator[Scenario]:
    for change, discordance in itertools.product((0.0, -0.05, -0.10), (0.06, 0.10, 0.15)):
        truth = Truth(change, discordance, reference=0.95)
        at_margin = change == -_QUICK_MARGIN
        yield Scenario(
            _QUICK,
            _in_words(truth),
            "quick",
            truth,
            Shape(200),
            margin=_QUICK_MARGIN,
            floor=0.0 if at_margin else 0.80,
            most_promoted=0.05 if at_margin else None,
        )
    for change in (-0.20, -0.40):
        truth = Truth(change, abs(change) + 0.06)
        yield Scenario(_QUICK, _in_words(truth), "quick", truth, Shape(200), margin=_QUICK_MARGIN, most_promoted=0.0)


def measure(scenario: Scenario, runs: int = RUNS) -> Counts:
    generator = np.random.default_rng(zlib.crc32(f"{scenario.group}|{scenario.name}".encode()))
    return add_counts(
        judge_runs(
            draw_runs(generator, scenario.truth, scenario.shape, runs=min(_BATCH, runs)),
            profile=scenario.profile,
            margin=scenario.margin,
            floor=scenario.floor,
        )
        for _ in range(max(runs // _BATCH, 1))
    )


def missed_demand(scenario: Scenario, counts: Counts) -> str | None:
    """Return which demand the rule misses."""
    if scenario.most_promoted is not None and counts.promoted > scenario.most_promoted:
        return f"promoted {counts.promoted:.3f}, more than {scenario.most_promoted:.3f}"
    if scenario.least_promoted is not None and counts.promoted < scenario.least_promoted:
        return f"promoted {counts.promoted:.3f}, less than {scenario.least_promoted:.3f}"
    if scenario.most_rejected is not None and counts.rejected > scenario.most_rejected:
        return f"rejected {counts.rejected:.3f}, more than {scenario.most_rejected:.3f}"
    if scenario.most_cases is not None and counts.mean_cases > scenario.most_cases:
        return f"{counts.mean_cases:.0f} cases on average, more than {scenario.most_cases:.0f}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each truth (default {RUNS})")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="print the truths with this in their name, write no table"
    )
    arguments = parser.parse_args()
    chosen = [each for each in scenarios() if arguments.only in f"{each.group}: {each.name}"]
    started_s = time.monotonic()
    with ProcessPoolExecutor() as pool:
        counts = list(pool.map(measure, chosen, itertools.repeat(arguments.runs)))
    missed = [
        f"{scenario.group}: {scenario.name}: {complaint}"
        for scenario, found in zip(chosen, counts, strict=True)
        if (complaint := missed_demand(scenario, found)) is not None
    ]
    lines = list(_table(chosen, counts, runs=arguments.runs))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    took = f"{len(chosen)} truths in {time.monotonic() - started_s:.0f} s"
    sys.stderr.writelines(f"{line}\n" for line in (took, *missed))
    if not arguments.only:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if missed else 0


def _table(chosen: Sequence[Scenario], counts: Sequence[Counts], *, runs: int) -> Iterator[str]:
    yield "# Operating characteristics of the judge"
    yield ""
    yield "Written by `python -m tests.campaign.operating_characteristics`"
    yield f"at commit {commit()}, {runs:,} runs of each truth."
    yield f"Standard error of a share of 5 %: {100 * math.sqrt(0.05 * 0.95 / runs):.2f} points."
    for group, members in itertools.groupby(zip(chosen, counts, strict=True), key=lambda each: each[0].group):
        yield from ("", f"## {group[0].upper()}{group[1:]}", "")
        yield "| truth | promoted | rejected | inconclusive | mean cases | demanded |"
        yield "|---|---:|---:|---:|---:|---|"
        for scenario, found in members:
            shares = " | ".join(f"{share:.3f}" for share in found[:3])
            yield f"| {scenario.name} | {shares} | {found.mean_cases:.0f} | {_demand_in_words(scenario)} |"


def commit() -> str:
    """Return the commit that the working tree stands at, marked where it has changes."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - whichever git the developer uses
        cwd=TABLE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return described.stdout.strip()


def _in_words(truth: Truth) -> str:
    change = f"{100 * truth.change:+.0f} points" if truth.change else "equal"
    return f"{change}, discordance {truth.discordance:.0%}"


def _demand_in_words(scenario: Scenario) -> str:
    demands = (
        ("promoted at most {:.0%}", scenario.most_promoted),
        ("promoted at least {:.0%}", scenario.least_promoted),
        ("rejected at most {:.0%}", scenario.most_rejected),
        ("at most {:.0f} cases", scenario.most_cases),
    )
    return ", ".join(words.format(value) for words, value in demands if value is not None)


if __name__ == "__main__":
    sys.exit(main())
