"""What grammars cost: sixteen rows that are held to a schema beside sixteen that are free, on the same weights.

    python -m tests.bench.constrained
    python -m tests.bench.constrained --model ~/models/mine --streams 4

Both decode in this process, without HTTP: a step of the batch is what the masks lengthen. Free and held runs take
turns, and each pair gives one ratio; the median of them is what counts.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import click
from mlx_lm.utils import load

from gateway.engine import device
from gateway.engine.grammar import Grammars, grammars_of
from gateway.engine.mlx_runner import MlxRunner
from gateway.engine.runner import RowSpec
from gateway.fleet.blas import engine_environment, find_blas
from gateway.wire import GrammarKind, GrammarSpec, Sampling
from tests.support.models import embedded_model

_SCHEMA = {
    "type": "array",
    "minItems": 1000,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 40},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["name", "age", "tags", "note"],
        "additionalProperties": False,
    },
}
"""Nothing ends it within the tokens that are measured."""
_PROMPT = "List people as JSON objects with name, age, tags and a note."
_WARM_UP_TOKENS = 4
_NEVER = 100_000
"""Tokens: rows end with their run."""


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Directory that stands in for SmolLM2.")
@click.option("--streams", default=16, show_default=True, type=click.IntRange(1))
@click.option("--tokens", default=48, show_default=True, type=click.IntRange(1), help="Of each stream, in each run.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
def main(*, model: Path | None, streams: int, tokens: int, repeats: int) -> None:
    network: Any
    tokenizer: Any
    network, tokenizer = load(str(model or embedded_model()))[:2]
    device.prepare_weights(network)
    grammars = grammars_of(tokenizer)
    if grammars is None:
        raise click.ClickException("Grammars cannot be made for this model's tokenizer.")
    prompt = tuple(tokenizer.apply_chat_template([{"role": "user", "content": _PROMPT}], add_generation_prompt=True))
    free_s: list[float] = []
    held_s: list[float] = []
    for _ in range(repeats + 1):  # the first turn warms up
        free_s.append(_step_time_s(network, prompt, None, streams, tokens))
        held_s.append(_step_time_s(network, prompt, grammars, streams, tokens))
    ratios = [free / held for free, held in zip(free_s[1:], held_s[1:], strict=True)]
    click.echo(
        f"{streams} streams, {tokens} tokens each, {repeats} pairs on {device.describe().name}: "
        f"free {statistics.median(free_s[1:]) * 1e3:.1f} ms a step, held {statistics.median(held_s[1:]) * 1e3:.1f} ms; "
        f"throughput ratio median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
    )


def _step_time_s(network: Any, prompt: tuple[int, ...], grammars: Grammars | None, streams: int, tokens: int) -> float:
    """Return the mean time of a step in which every stream gets a token. Free rows have no end token."""
    runner = MlxRunner(
        network,
        end_tokens=grammars.end_tokens if grammars else (),
        max_rows=streams,
        prefill_step_tokens=512,
        step_bytes=10**9,
        prefixes=None,
    )
    for row in range(streams):
        constraint = None
        if grammars:
            constraint = grammars.compile(
                GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source=json.dumps(_SCHEMA), param="response_format")
            )
        runner.insert(
            RowSpec(
                row=row,
                prompt=prompt,
                max_tokens=_NEVER,
                sampling=Sampling(temperature=0.7),
                constraint=constraint,
            )
        )
    while len(runner.step()) < streams:
        pass
    for _ in range(_WARM_UP_TOKENS):
        runner.step()
    started_s = time.perf_counter()
    told = sum(len(runner.step()) for _ in range(tokens))
    duration_s = time.perf_counter() - started_s
    runner.close()
    if told != streams * tokens:
        raise click.ClickException(f"{streams * tokens} tokens were expected and {told} came.")
    return duration_s / tokens


if __name__ == "__main__":
    blas = find_blas()
    if blas is not None and str(blas) not in os.environ.get("LD_PRELOAD", ""):  # preloaded when a process starts
        command = [sys.executable, "-m", "tests.bench.constrained", *sys.argv[1:]]
        os.execve(sys.executable, command, engine_environment(os.environ, blas))
    main()
