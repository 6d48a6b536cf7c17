"""`python -m tests.bench.swap_gap`: how long clients hear nothing while the model that serves is exchanged.

Sixteen streams ask again and again, and the incumbent is replaced under them by a copy of itself that counts as another
model: beside (both engines fit the memory), and in turn (they do not). The gap is the longest time in which none of
the streams got a piece of text, around the promotion. Writes results/swap_gap.json and prints a table.

    python -m tests.bench.swap_gap
    python -m tests.bench.swap_gap --model ~/models/mine --repeats 3
"""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import click
import httpx
import msgspec

from gateway.contracts.admin import SwapWay
from tests.bench import http_load, measures, prompts
from tests.bench.contenders import MODEL_NAME
from tests.bench.environment import Environment, describe
from tests.bench.models import ModelKind, directory
from tests.bench.workload import Trace
from tests.support.programs import RunningGateway, gateway_serving

_RESULT = Path(__file__).parent / "results" / "swap_gap.json"
_STREAMS = 16
_ROUNDS, _QUICK_ROUNDS = 6, 20
"""Answers of each stream."""
_SETTLE_S, _QUICK_SETTLE_S = 4.0, 0.3
"""Before the promotion."""
_CONFIG = """
[engine]
prefix_cache_bytes = 0
[memory]
reserve_bytes = 0
{limit}
[log]
level = "info"
format = "json"
[[deployments]]
model = "{name}"
source = "{source}"
"""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    gap_s: float
    """Between two pieces of text of any stream, the longest."""
    usual_s: float
    """Likewise before the promotion."""
    promotion_s: float
    """Until the gateway answered it."""
    answers: int
    errors: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    environment: Environment
    model: str
    streams: int
    turns: dict[str, tuple[Turn, ...]]


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Directory; SmolLM2 in float32 otherwise.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="Once, small, on the scripted model: no figure counts, none is kept.")
def main(*, model: Path | None, repeats: int, quick: bool) -> None:
    source = model or directory(ModelKind.SCRIPTED if quick else ModelKind.REAL, real=None)
    environment = describe()
    turns: dict[str, list[Turn]] = {SwapWay.BESIDE: [], SwapWay.IN_TURN: []}
    for _ in range(1 if quick else repeats):
        for way, found in turns.items():
            found.append(_turn(SwapWay(way), source, quick=quick))
            click.echo(f"{way}: {found[-1].gap_s:.2f} s", err=True)
    result = Result(
        environment=environment,
        model=source.name,
        streams=_STREAMS,
        turns={way: tuple(found) for way, found in turns.items()},
    )
    if not quick:
        _RESULT.parent.mkdir(exist_ok=True)
        _RESULT.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    click.echo(_table(result))


def _turn(way: SwapWay, source: Path, *, quick: bool) -> Turn:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        limit = _limit(source, home / "asked") if way is SwapWay.IN_TURN else ""
        with _serving(source, home / "measured", limit) as gateway:
            return asyncio.run(_swap_under_load(gateway.url, copy_of(source, home / "copy"), way, quick=quick))


def _limit(source: Path, home: Path) -> str:
    """Return a setting under which one engine fits and two do not."""
    with _serving(source, home, "") as gateway:
        planned_bytes = gateway.get("/admin/status").json()["memory"]["planned_bytes"]
    return f"recommended_working_set_bytes = {planned_bytes * 3 // 2}"


def _serving(source: Path, home: Path, limit: str) -> AbstractContextManager[RunningGateway]:
    home.mkdir()
    config = home / "gateway.toml"
    config.write_text(_CONFIG.format(limit=limit, name=MODEL_NAME, source=source))
    return gateway_serving(home, "--config", config)


def copy_of(source: Path, copy: Path) -> Path:
    """Return the same model under another digest: a blank more in a file makes it another."""
    shutil.copytree(source, copy)
    changed = copy / ("scripted.toml" if (copy / "scripted.toml").exists() else "config.json")
    changed.write_text(changed.read_text() + "\n")
    return copy


async def _swap_under_load(url: str, other: Path, way: SwapWay, *, quick: bool) -> Turn:
    workload = prompts.closed_loop(
        streams=_STREAMS,
        requests=_STREAMS * (_QUICK_ROUNDS if quick else _ROUNDS),
        prompt_tokens=20,
        max_tokens=(16, 24, 32),
        draw=url,
    )
    async with httpx.AsyncClient(base_url=url, timeout=300, trust_env=False) as client:
        registered = (await client.post("/admin/variants", json={"source": str(other)})).raise_for_status().json()
        load = asyncio.create_task(http_load.run(workload, http_load.Target(url, MODEL_NAME)))
        await asyncio.sleep(_QUICK_SETTLE_S if quick else _SETTLE_S)
        asked_s = time.monotonic()
        order = {"model": MODEL_NAME, "expected_revision": 1, "variant": registered["digest"]}
        promotion = await client.post("/admin/promotions", json=order | {"override_reason": "a benchmark"})
        done_s = time.monotonic()
        promotion.raise_for_status()
        traces = await load
        metrics = (await client.get("/metrics")).text
    if f'outcome="done",way="{way}"' not in metrics:
        message = f"the swap was not made {way}"
        raise RuntimeError(message)
    return turn_of(traces, asked_s=asked_s, done_s=done_s)


def turn_of(traces: Sequence[Trace], *, asked_s: float, done_s: float) -> Turn:
    """Return the figures of one promotion, which was asked for and done at these moments of the traces' clock."""
    pieces_s = sorted(at_s for trace in traces for at_s in trace.delta_times_s)
    gaps = list(pairwise(pieces_s))
    return Turn(
        gap_s=max((later - earlier for earlier, later in gaps if later > asked_s), default=float("nan")),
        usual_s=max((later - earlier for earlier, later in gaps if later <= asked_s), default=float("nan")),
        promotion_s=done_s - asked_s,
        answers=sum(not trace.error for trace in traces),
        errors=measures.error_count(traces),
    )


def _table(result: Result) -> str:
    lines = [
        f"{result.model}, {result.streams} streams, {result.environment.chip}, {result.environment.cores} cores, load "
        f"before {result.environment.load_before:.2f}, commit {result.environment.commit}",
        "",
        "| way | gap s, median (least to greatest) | usual gap s | promotion s | answers | errors |",
        "|---|---|---|---|---|---|",
    ]
    for way, turns in result.turns.items():
        gaps = [turn.gap_s for turn in turns]
        lines.append(
            f"| {way} | {statistics.median(gaps):.2f} ({min(gaps):.2f} to {max(gaps):.2f}) "
            f"| {statistics.median(turn.usual_s for turn in turns):.2f} "
            f"| {statistics.median(turn.promotion_s for turn in turns):.2f} "
            f"| {sum(turn.answers for turn in turns)} | {sum(turn.errors for turn in turns)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
