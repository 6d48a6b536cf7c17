"""`python -m tests.bench`: measure the gateway beside its peers and the bare loop, on this machine, in one run.

    python -m tests.bench                          all scenarios, five interleaved repeats
    python -m tests.bench --quick                  a smoke run of every code path
    python -m tests.bench --scenario tiny-16       one of them
    python -m tests.bench --model ~/models/mine    a model of yours in place of SmolLM2

Writes results/NAME.json and results/NAME.md beside this file, and prints the second.
"""

import asyncio
import gc
import tempfile
from contextlib import aclosing
from pathlib import Path

import click
import msgspec

from tests.bench import report, roofline
from tests.bench.environment import describe
from tests.bench.field import Field
from tests.bench.models import ModelKind, directory
from tests.bench.results import Results, Roofline, ScenarioResult
from tests.bench.scenarios import GATEWAY, SCENARIOS, VLLM

_RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option("--quick", is_flag=True, help="Run each scenario once and small, on the tiny model: no figure counts.")
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Directory that stands in for SmolLM2.")
@click.option("--scenario", "names", multiple=True, type=click.Choice([one.name for one in SCENARIOS]))
@click.option("--contender", "contenders", multiple=True, help="Only these, of those that a scenario has.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--bandwidth", type=float, help="Of the memory, in 10^9 bytes a second; Apple's chips are known.")
@click.option("--out", type=click.Path(path_type=Path), default=_RESULTS, help="Directory of the results.")
@click.option("--name", default="latest", show_default=True)
def main(
    *,
    quick: bool,
    model: Path | None,
    names: tuple[str, ...],
    contenders: tuple[str, ...],
    repeats: int,
    bandwidth: float | None,
    out: Path,
    name: str,
) -> None:
    environment = describe()
    real = directory(ModelKind.TINY if quick else ModelKind.REAL, real=None if quick else model)
    scenarios = [one for one in SCENARIOS if not names or one.name in names]
    found: list[ScenarioResult] = []
    out.mkdir(parents=True, exist_ok=True)

    async def measure(field: Field) -> None:
        async with aclosing(field.measure(scenarios)) as measured:
            async for scenario in measured:
                found.append(scenario)
                # After each, so that a run that is broken off has not been for nothing.
                results = Results(
                    environment=environment,
                    quick=quick,
                    repeats=1 if quick else repeats,
                    real_model=real.name,
                    scenarios=tuple(found),
                    roofline=_roofline(real, found, bandwidth or roofline.CHIP_BANDWIDTH_GB_S.get(environment.chip)),
                )
                (out / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(results)))
                (out / f"{name}.md").write_text(report.markdown(results))

    with tempfile.TemporaryDirectory() as scratch:
        field = Field(
            real=real,
            quick=quick,
            repeats=1 if quick else repeats,
            only=frozenset(contenders),
            without=frozenset({VLLM}) if quick else frozenset(),
            scratch=Path(scratch),
        )
        # A full collection in the load generator would show as a gap in whatever it measures.
        gc.collect()
        gc.freeze()
        asyncio.run(measure(field))
    click.echo((out / f"{name}.md").read_text())


def _roofline(real: Path, found: list[ScenarioResult], bandwidth_gb_s: float | None) -> Roofline:
    bytes_per_token = roofline.bytes_per_token(real)
    ceiling = roofline.ceiling_tokens_per_s(bytes_per_token, bandwidth_gb_s) if bandwidth_gb_s else None
    speeds = [
        figures["decode_tokens_per_s"].median
        for scenario in found
        for contender, figures in scenario.figures.items()
        if contender == GATEWAY and "decode_tokens_per_s" in figures
    ]
    return Roofline(
        bytes_per_token=bytes_per_token,
        bandwidth_gb_s=bandwidth_gb_s,
        ceiling_tokens_per_s=ceiling,
        measured_tokens_per_s=speeds[0] if speeds else None,
    )


if __name__ == "__main__":
    main()
