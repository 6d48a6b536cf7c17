"""What an engine tells of its work: rows in a step, requests by class, and the peak since it was last idle."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.contracts.admin import EngineView
from gateway.contracts.scheduling import SchedulingClass
from gateway.fleet.blas import engine_environment, find_blas
from gateway.fleet.engine import Engine
from gateway.fleet.fleet import Fleet
from gateway.settings import EngineSettings, Settings
from gateway.telemetry.metrics import Metrics
from tests.support.engine_client import submit
from tests.support.fleets import fleet_of, running, spec_of, until
from tests.support.scripted_model import write_scripted_model
from tests.support.tiny_llama import write_model

pytestmark = pytest.mark.anyio

SCRIPT = """
default_text = "0123456789"
weights_bytes = 1_000_000
kv_bytes_per_token = 1_000
leak_bytes_per_request = 500
[[answers]]
match = "slowly"
text = "0123456789"
step_delay_s = 0.05
"""


def view(engine: Engine) -> EngineView:
    return engine.view(variants=(), predicted_bytes=0)


async def test_tokens_over_steps_are_the_rows_that_decoded_together(tmp_path: Path) -> None:
    spec = spec_of(write_scripted_model(tmp_path / "model", SCRIPT))
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec)
        await bench.answer(spec, "?")
        alone = view(engine).work
        assert (alone.decode_steps, alone.decoded_tokens) == (11, 11)  # ten characters and the end
        await asyncio.gather(*(bench.answer(spec, "slowly") for _ in range(4)))
        together = view(engine).work
        assert together.decoded_tokens - alone.decoded_tokens == 44
        assert together.decode_steps - alone.decode_steps < 44
        assert together.admitted == {SchedulingClass.INTERACTIVE: 5}
        assert together.running == {}


async def test_requests_are_counted_by_class_while_they_run_and_after(tmp_path: Path) -> None:
    spec = spec_of(write_scripted_model(tmp_path / "model", SCRIPT))
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec)
        evaluation = SchedulingClass.EVALUATION
        trial = asyncio.create_task(bench.answer(spec, "slowly", scheduling_class=evaluation))
        own = bench.started(spec, "slowly")
        await until(lambda: running(engine) == 2)
        assert view(engine).work.running == {evaluation: 1, SchedulingClass.INTERACTIVE: 1}
        await asyncio.gather(trial, own)
        assert view(engine).work.running == {}
        assert view(engine).work.admitted == {evaluation: 1, SchedulingClass.INTERACTIVE: 1}


async def test_the_peak_of_a_lone_request_is_read_after_it_and_the_highest_stays(tmp_path: Path) -> None:
    spec = spec_of(write_scripted_model(tmp_path / "model", SCRIPT))
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec)
        await bench.answer(spec, "x" * 1000)
        long = view(engine).memory
        await bench.answer(spec, "x")
        short = view(engine).memory
        assert long.busy_peak_bytes == long.peak_bytes == 1_000_000 + 1_000 * (1000 + 2 + 11)
        assert short.busy_peak_bytes == 1_000_000 + 500 + 1_000 * (1 + 2 + 11)
        assert short.peak_bytes == long.peak_bytes
        assert short.active_bytes == 1_000_000 + 2 * 500


@pytest.mark.model
async def test_a_real_models_peak_begins_anew_when_it_was_idle(tmp_path: Path) -> None:
    spec = spec_of(write_model(tmp_path / "model"))
    environ = engine_environment(os.environ, find_blas())
    settings = Settings(state_dir=str(tmp_path), engine=EngineSettings(stop_timeout_s=2))
    fleet = Fleet(settings, environ=environ, on_failure=lambda _spec, _exit: None, metrics=Metrics())
    try:
        engine = await fleet.ensure(spec)

        async def peak_of(words: int) -> int:
            request = submit(f"r{words}", "word " * words, max_completion_tokens=3)
            async with fleet.generate(spec, request, SchedulingClass.INTERACTIVE) as generation:
                async for _ in generation:
                    pass
            return view(engine).memory.busy_peak_bytes

        first, long, last = [await peak_of(words) for words in (20, 900, 21)]
        assert long > 1.2 * first
        assert last < long
        assert view(engine).memory.peak_bytes >= long
    finally:
        await fleet.close()
