"""`python -m tests.bench.judging`: how long judging takes, against the seed's procedure.

The seed asks one request at a time, all cases, on both systems. The profile `full` asks side by side, stops where the
evidence is enough, and then measures times apart, which the seed reads from its trials: so both sides come to a verdict
with times in it. Both judge the same candidates on the same cases, taking turns: one that equals the incumbent, and one
that is wrong throughout. Nothing is reused and nothing resumed.

The engines are scripted: each step takes 20 ms, about what one of a model of 30B takes on a Mac, however many rows it
has, as where decoding is bound by the memory's bandwidth. Two engines do not slow each other down, which on one GPU
they do. Answers have four tokens and an end, to keep the run short: what a request costs besides its steps weighs more
than it would, and most so side by side. Prints a table.

    python -m tests.bench.judging
    python -m tests.bench.judging --repeats 5
"""

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from canary.client import GatewayClient
from canary.suite import Suite, load_suite
from canary.workflow import RunOptions, evaluate, find_deployment, line_up
from gateway.contracts.evaluations import Evaluation, Outcome, Profile
from tests.bench.contenders import MODEL_NAME
from tests.bench.environment import describe
from tests.support.mini_suite import write_mini_suite
from tests.support.noted import Noted
from tests.support.programs import gateway_serving
from tests.support.scripted_model import write_scripted_model

_CASES, _QUICK_CASES = 400, 120
_STEP_S = 0.02
_ANSWERS = {"incumbent": "is 4", "equal": "so 4", "wrong": "so 5"}
"""Of one length, so that a system is as fast as another."""
_EXPECTED = {"equal": Outcome.PASSED, "wrong": Outcome.FAILED}
_CONFIG = """
state_dir = "{state}"
[[deployments]]
model = "{name}"
source = "{source}"
"""


@click.command()
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="Once and on few cases: no figure counts.")
def main(*, repeats: int, quick: bool) -> None:
    environment = describe()
    cases = _QUICK_CASES if quick else _CASES
    times_s: dict[str, list[tuple[float, float]]] = {name: [] for name in _EXPECTED}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        write_mini_suite(home, count=cases)
        models = {
            name: write_scripted_model(home / name, f'default_text = "{text}"\nstep_delay_s = {_STEP_S}\n')
            for name, text in _ANSWERS.items()
        }
        config = home / "gateway.toml"
        config.write_text(_CONFIG.format(state=home / "state", name=MODEL_NAME, source=models["incumbent"]))
        with gateway_serving(home, "--config", config) as gateway:
            for _ in range(1 if quick else repeats):
                for name, pairs in times_s.items():
                    seed_s, full_s = (
                        _timed(gateway.url, models[name], _suite(home, profile), expected=_EXPECTED[name])
                        for profile in ("seed", "full")
                    )
                    pairs.append((seed_s, full_s))
    click.echo(
        f"{cases} cases, scripted engines, {_STEP_S * 1000:g} ms a step, {environment.chip}, "
        f"{environment.cores} cores, load before {environment.load_before:.2f}, commit {environment.commit}\n"
    )
    click.echo(_table(times_s))


def _suite(home: Path, profile: Profile) -> Suite:
    suite = load_suite("mini", search_path=[home])
    return msgspec.structs.replace(suite, manifest=msgspec.structs.replace(suite.manifest, profile=profile))


def _timed(url: str, model: Path, suite: Suite, *, expected: Outcome) -> float:
    """Return the wall time of one evaluation; the loading of the candidate is in it."""
    with tempfile.TemporaryDirectory() as cache, GatewayClient(url) as gateway, ExitStack() as engines:
        os.environ["XDG_CACHE_HOME"] = cache  # what fidelity has read of the systems is kept there
        lineup = line_up(gateway, find_deployment(gateway, None), [str(model)])
        started_s = time.perf_counter()
        evaluation = evaluate(gateway, lineup, suite, engines=engines, progress=Noted(), options=RunOptions(fresh=True))
        took_s = time.perf_counter() - started_s
    _check(evaluation, expected)
    return took_s


def _check(evaluation: Evaluation, expected: Outcome) -> None:
    (judgement,) = evaluation.judgements
    if judgement.verdict.outcome is not expected:
        raise click.ClickException(f"{evaluation.profile} decides {judgement.verdict}, and {expected} is the truth")


def _table(times_s: dict[str, list[tuple[float, float]]]) -> str:
    lines = [
        "| candidate | verdict of both | the seed's procedure, s | full, s | ratio, median (least to greatest) |",
        "|---|---|---|---|---|",
    ]
    for name, pairs in times_s.items():
        seeds, fulls = zip(*pairs, strict=True)
        ratios = [full_s / seed_s for seed_s, full_s in pairs]
        lines.append(
            f"| {name} | {_EXPECTED[name]} | {statistics.median(seeds):.1f} | {statistics.median(fulls):.1f} "
            f"| {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
