"""Who leaves a real model, in line, in a prompt or in an answer, leaves no memory behind: MLX itself counts it."""

import asyncio
import os
import resource
from pathlib import Path

import psutil
import pytest

from gateway.contracts.admin import EngineState, PrefixCacheCounts
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import EngineError
from gateway.fleet.blas import engine_environment, find_blas
from gateway.fleet.engine import Engine
from gateway.fleet.fleet import Fleet
from gateway.fleet.generation import Terms
from gateway.settings import EngineSettings, Settings
from gateway.telemetry.declarations import Declarations
from gateway.telemetry.engines import EngineMetrics
from gateway.telemetry.metrics import Metrics
from gateway.wire import Step
from tests.support.engine_client import submit
from tests.support.fleets import pid_of, running, spec_of, until
from tests.support.tiny_llama import write_model

pytestmark = [pytest.mark.anyio, pytest.mark.model]

MIB = 1024**2
ROWS = 2
STEPS_TO_LEAVE = 3
"""As in test_cancellation.py."""
# 8 KiB a token of keys and values in float32, so that a row that stayed would show.
SHAPE = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 64}


class StepLog(EngineMetrics):
    def __init__(self) -> None:
        super().__init__(Declarations())
        self.rows: list[int] = []

    def stepped(self, step: Step, *, before: PrefixCacheCounts) -> None:
        super().stepped(step, before=before)
        self.rows.append(step.rows)


async def ask(fleet: Fleet, engine: Engine, name: str, words: int, max_tokens: int, terms: Terms) -> int:
    """Return how many tokens were generated."""
    request = submit(name, "word " * words, max_completion_tokens=max_tokens)
    async with fleet.generate(engine.spec, request, SchedulingClass.INTERACTIVE, terms) as generation:
        return [delta.completion_tokens async for delta in generation][-1]


async def test_who_leaves_in_line_in_a_prompt_or_in_an_answer_leaves_no_memory_behind(tmp_path: Path) -> None:
    log, metrics = StepLog(), Metrics()
    metrics.engines = log
    settings = EngineSettings(stop_timeout_s=2, prefill_step_tokens=32, prefix_cache_bytes=0, cache_limit_bytes=0)
    fleet = Fleet(
        Settings(state_dir=str(tmp_path), engine=settings),
        environ=engine_environment(os.environ, find_blas()),
        on_failure=lambda _spec, _failure: None,
        metrics=metrics,
    )
    try:
        engine = await fleet.ensure(spec_of(write_model(tmp_path / "model", **SHAPE), max_rows=ROWS))
        await ask(fleet, engine, "warm", 20, 4, Terms())
        await until(lambda: log.rows[-1] == 0)
        before_bytes = engine.memory.active_bytes
        for whole in (False, True):
            terms = Terms(whole=whole)
            names = [f"{name}-{whole}" for name in ("answer", "prompt", "line")]
            answer, prompt, line = (
                asyncio.create_task(ask(fleet, engine, name, words, 4000, terms))
                for name, words in zip(names, (20, 3000, 20), strict=True)
            )
            await until(lambda: log.rows[-1] == ROWS and engine.line.admission.waiting_count == 1)
            for client in (line, prompt, answer):
                client.cancel()
                await asyncio.gather(client, return_exceptions=True)
                since = len(log.rows)
                here = sum(not it.done() for it in (line, prompt, answer))
                await until(lambda: log.rows[-1] <= here)  # noqa: B023 - awaited here
                assert sum(rows > here for rows in log.rows[since:]) <= STEPS_TO_LEAVE
            assert running(engine) == engine.line.admission.waiting_count == 0
            # The last step's own arrays may be there yet; the keys and values of the prompt alone were 24 MiB.
            assert engine.memory.active_bytes <= before_bytes + 4 * MIB
        assert await ask(fleet, engine, "after", 20, 4, Terms()) == 4
    finally:
        await fleet.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits the memory of another process")
async def test_mlx_without_memory_ends_its_requests_and_serves_on_afterwards(tmp_path: Path) -> None:
    """Where MLX can raise, the requests end and the process lives; where it cannot, the process is started again."""
    fleet = Fleet(
        Settings(state_dir=str(tmp_path), engine=EngineSettings(stop_timeout_s=2, restart_backoff_initial_s=0.05)),
        environ=engine_environment(os.environ, find_blas()),
        on_failure=lambda _spec, _failure: None,
        metrics=Metrics(),
    )
    try:
        engine = await fleet.ensure(spec_of(write_model(tmp_path / "model", **SHAPE), max_rows=ROWS))
        process = psutil.Process(pid_of(engine))
        limit_bytes = process.memory_info().vms + 16 * MIB
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
        with pytest.raises(EngineError):
            await ask(fleet, engine, "large", 1500, 8, Terms(runs_again=False))
        if psutil.pid_exists(process.pid) and engine.pid == process.pid:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await until(lambda: engine.state is EngineState.READY)
        assert await ask(fleet, engine, "small", 20, 4, Terms()) == 4
    finally:
        await fleet.close()
