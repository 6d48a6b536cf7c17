"""A real model under a tight limit: what MLX reports as its peak stays inside, and without the limit it would not."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.contracts.chat import FinishReason
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.fleet.blas import engine_environment, find_blas
from gateway.fleet.fleet import Fleet
from gateway.models import read_model_directory
from gateway.settings import EngineSettings, MemorySettings, Settings
from gateway.telemetry.metrics import Metrics
from tests.support.engine_client import submit
from tests.support.served import NoCache
from tests.support.tiny_llama import write_model

pytestmark = [pytest.mark.anyio, pytest.mark.model]

MIB = 1024**2
LIMIT_BYTES = 200 * MIB
RESERVE_BYTES = 60 * MIB
"""For the scores of a prompt's chunk, which MLX's CPU backend holds at once: 16 heads x 256 x 1,800 x 4 bytes."""
# 12 MiB of weights, and 16 KiB a token of keys and values in float32: 10 rows of 1,500 tokens take 280 MiB.
SHAPE = {"num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 64}


def spec_of(directory: Path) -> EngineSpec:
    return read_model_directory(
        directory, max_rows=16, digest_cache=NoCache(), on_progress=lambda _share, _message: None
    ).engine


async def run_load(fleet: Fleet, spec: EngineSpec) -> int:
    """Have 10 requests of mixed lengths join and leave, two of them cancelled, and return the peak in bytes."""

    async def answer(number: int) -> None:
        words = (1500, 40, 700, 200)[number % 4] - number
        request = submit(f"r{number}", "word " * words, max_completion_tokens=6 + number)
        async with fleet.generate(spec, request, SchedulingClass.INTERACTIVE) as generation:
            assert generation.prompt_tokens > words
            async for delta in generation:
                if number % 5 == 0:
                    return
                if delta.finish_reason is not None:
                    assert delta.finish_reason is FinishReason.LENGTH

    async with asyncio.timeout(100):
        engine = await fleet.ensure(spec)
        await asyncio.gather(*(answer(number) for number in range(10)))
    return engine.memory.peak_bytes


async def test_the_peak_stays_inside_the_limit_and_would_not_by_itself(tmp_path: Path) -> None:
    spec = spec_of(write_model(tmp_path / "model", **SHAPE))
    peaks: list[int] = []
    for limit_bytes in (LIMIT_BYTES, 4096 * MIB):
        settings = Settings(
            state_dir=str(tmp_path),
            engine=EngineSettings(stop_timeout_s=2, prefill_step_tokens=256),
            memory=MemorySettings(
                recommended_working_set_bytes=limit_bytes, reserve_bytes=RESERVE_BYTES, kv_floor_tokens=1024
            ),
        )
        environ = engine_environment(os.environ, find_blas())
        fleet = Fleet(settings, environ=environ, on_failure=lambda _spec, _exit: None, metrics=Metrics())
        try:
            peaks.append(await run_load(fleet, spec))
        finally:
            await fleet.close()
    within, without = peaks
    assert within <= LIMIT_BYTES
    assert without > LIMIT_BYTES
