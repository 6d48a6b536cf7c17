"""Who may run on real engine processes (scripted runner), and when: classes, loading on demand, memory."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import pytest
from structlog.testing import capture_logs

from gateway.contracts.admin import EngineState
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.errors import EngineStartFailed, InvalidRequest, MemoryPressure, NotReady, QueueFull
from gateway.fleet.fleet import Fleet
from gateway.models import read_model_directory
from gateway.settings import ClassSettings, EngineSettings, EvaluationSettings, MemorySettings, QueueSettings, Settings
from gateway.telemetry.metrics import Metrics
from tests.support.engine_client import submit
from tests.support.served import NoCache

INTERACTIVE, BATCH, EVALUATION = SchedulingClass
MIB = 1024**2

pytestmark = pytest.mark.anyio


def model(tmp_path: Path, script: str = "", *, name: str = "model", max_rows: int = 4) -> EngineSpec:
    directory = tmp_path / name
    directory.mkdir()
    (directory / "scripted.toml").write_text(script)
    variant = read_model_directory(
        directory, max_rows=max_rows, digest_cache=NoCache(), on_progress=lambda _share, _message: None
    )
    return variant.engine


@asynccontextmanager
async def fleet_of(
    tmp_path: Path,
    *,
    engine: EngineSettings | None = None,
    queue: QueueSettings | None = None,
    memory: MemorySettings | None = None,
) -> AsyncGenerator[Fleet]:
    settings = Settings(
        state_dir=str(tmp_path),
        engine=engine or EngineSettings(stop_timeout_s=1),
        queue=queue or QueueSettings(),
        memory=memory or MemorySettings(),
    )
    fleet = Fleet(settings, environ=os.environ, on_failure=lambda _spec, _exit: None, metrics=Metrics())
    try:
        yield fleet
    finally:
        await fleet.close()


class Ended(NamedTuple):
    prompt_tokens: int
    completion_tokens: int
    reason: FinishReason | None


async def answer(
    fleet: Fleet,
    spec: EngineSpec,
    scheduling_class: SchedulingClass = INTERACTIVE,
    *,
    text: str = "hello",
    max_tokens: int | None = None,
    order: list[str] | None = None,
) -> Ended:
    """Return how the request ended; note the text in `order` when its first token has come."""
    request = submit(f"{scheduling_class}-{text}", text, max_completion_tokens=max_tokens)
    async with fleet.generate(spec, request, scheduling_class) as generation:
        deltas = aiter(generation)
        last = await anext(deltas)
        if order is not None:
            order.append(text)
        async for last in deltas:  # noqa: B007 - the last one is wanted
            pass
        return Ended(generation.prompt_tokens, last.completion_tokens, last.finish_reason)


async def test_requests_wait_in_line_while_their_engine_is_loaded(tmp_path: Path) -> None:
    spec = model(tmp_path, "load_delay_s = 0.5")
    async with fleet_of(tmp_path, queue=QueueSettings(interactive=ClassSettings(max_queued=2))) as fleet:
        results = await asyncio.gather(*(answer(fleet, spec, text=f"r{n}") for n in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [Ended, Ended, QueueFull]


async def test_who_waits_for_a_load_longer_than_its_class_may_is_told_that_it_is_not_ready(tmp_path: Path) -> None:
    spec = model(tmp_path, "load_delay_s = 30")
    async with fleet_of(tmp_path, queue=QueueSettings(interactive=ClassSettings(timeout_s=0.2))) as fleet:
        with pytest.raises(NotReady, match=r"queue\.interactive\.timeout_s") as raised:
            await answer(fleet, spec)
        assert raised.value.retry_after_s is not None


async def test_a_load_that_fails_answers_everybody_who_waits_for_it(tmp_path: Path) -> None:
    spec = model(tmp_path, "load_delay_s = 0.2\nload_failure = 'The weights are broken; copy them again.'")
    async with fleet_of(tmp_path) as fleet:
        results = await asyncio.gather(*(answer(fleet, spec, text=f"r{n}") for n in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [EngineStartFailed] * 3
        assert list(fleet.engines) == []


async def test_a_request_that_is_too_long_is_told_at_once_though_every_row_is_taken(tmp_path: Path) -> None:
    spec = model(tmp_path, "context_length = 100\nstep_delay_s = 0.05\ndefault_text = 'a long answer'", max_rows=1)
    async with fleet_of(tmp_path) as fleet:
        running = asyncio.create_task(answer(fleet, spec, text="first"))
        waiting = asyncio.create_task(answer(fleet, spec, text="second"))
        with pytest.raises(InvalidRequest) as raised:
            await answer(fleet, spec, text="x" * 200)
        assert raised.value.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED
        assert not running.done()
        assert not waiting.done()
        running.cancel()
        waiting.cancel()
        await asyncio.wait([running, waiting])


async def test_one_who_is_cancelled_in_line_is_forgotten_by_engine_and_line(tmp_path: Path) -> None:
    spec = model(tmp_path, "step_delay_s = 0.02", max_rows=1)
    async with fleet_of(tmp_path) as fleet:
        engine = await fleet.ensure(spec)
        running = asyncio.create_task(answer(fleet, spec, text="first"))
        waiting = asyncio.create_task(answer(fleet, spec, text="second"))
        await asyncio.sleep(0.1)
        assert engine.line.admission.waiting_count == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert engine.line.admission.waiting_count == 0
        assert (await running).reason is FinishReason.STOP
        assert (await answer(fleet, spec, text="third")).reason is FinishReason.STOP


async def test_interactive_requests_go_before_evaluations_that_came_earlier(tmp_path: Path) -> None:
    spec = model(tmp_path, "step_delay_s = 0.01\ndefault_text = 'short'", max_rows=1)
    order: list[str] = []
    async with fleet_of(tmp_path) as fleet:
        await fleet.ensure(spec)
        tasks = [asyncio.create_task(answer(fleet, spec, text="running", order=order))]
        await asyncio.sleep(0.03)
        for scheduling_class, text in ((EVALUATION, "trial"), (BATCH, "batch"), (INTERACTIVE, "person")):
            tasks.append(asyncio.create_task(answer(fleet, spec, scheduling_class, text=text, order=order)))
        await asyncio.gather(*tasks)
    assert order == ["running", "person", "batch", "trial"]


async def test_evaluations_leave_rows_to_interactive_requests(tmp_path: Path) -> None:
    spec = model(tmp_path, "step_delay_s = 0.02", max_rows=4)
    async with fleet_of(tmp_path, queue=QueueSettings(evaluation=EvaluationSettings(rows_ratio=0.5))) as fleet:
        engine = await fleet.ensure(spec)
        trials = [asyncio.create_task(answer(fleet, spec, EVALUATION, text=f"t{n}")) for n in range(4)]
        await asyncio.sleep(0.1)
        assert (engine.line.admission.running_count, engine.line.admission.waiting_count) == (2, 2)
        await answer(fleet, spec)
        await asyncio.gather(*trials)


async def test_an_evaluation_on_another_engine_waits_while_interactive_requests_do(tmp_path: Path) -> None:
    production = model(tmp_path, "step_delay_s = 0.02", name="production", max_rows=1)
    candidate = model(tmp_path, "default_text = 'x'", name="candidate")
    async with fleet_of(tmp_path) as fleet:
        _, engine = await asyncio.gather(fleet.ensure(production), fleet.ensure(candidate))
        people = [asyncio.create_task(answer(fleet, production, text=f"p{n}")) for n in range(2)]
        await asyncio.sleep(0.1)
        trial = asyncio.create_task(answer(fleet, candidate, EVALUATION))
        await asyncio.sleep(0.1)
        assert (engine.line.admission.running_count, engine.line.admission.waiting_count) == (0, 1)
        await people[0]
        await asyncio.gather(people[1], trial)


async def test_an_incumbent_that_nobody_uses_is_unloaded_and_loaded_for_the_next_request(tmp_path: Path) -> None:
    spec = model(tmp_path)
    settings = EngineSettings(stop_timeout_s=1, idle_unload_s=3600, incumbent_idle_unload_s=0.05)
    async with fleet_of(tmp_path, engine=settings) as fleet:
        engine = await fleet.ensure(spec)
        pid = engine.pid
        assert pid is not None
        fleet.retire_idle(incumbents=set())  # as an engine that no Deployment names, it has an hour
        await asyncio.sleep(0.1)
        assert engine.state is EngineState.READY
        with capture_logs() as logs:
            fleet.retire_idle(incumbents={spec.digest})
            await fleet.retire(spec)
        assert not psutil.pid_exists(pid)
        assert [log["memory_returned"] for log in logs if log["event"] == "engine_unloaded"] == [True]
        assert fleet.on_demand(spec)
        assert (await answer(fleet, spec)).reason is FinishReason.STOP
        assert not fleet.on_demand(spec)


async def test_an_engine_is_not_idle_while_it_loads_or_answers(tmp_path: Path) -> None:
    spec = model(tmp_path, "load_delay_s = 0.3\nstep_delay_s = 0.01")
    async with fleet_of(tmp_path, engine=EngineSettings(stop_timeout_s=1, idle_unload_s=0.001)) as fleet:
        task = asyncio.create_task(answer(fleet, spec))
        while not task.done():
            fleet.retire_idle(incumbents=set())
            await asyncio.sleep(0.01)
        assert (await task).reason is FinishReason.STOP


# 100 MiB of weights on a machine of 256 MiB leave 128 MiB beside the reserve: 64 KiB a token, twice, are 1,024 tokens.
TIGHT = MemorySettings(recommended_working_set_bytes=256 * MIB, reserve_bytes=28 * MIB, kv_floor_tokens=256)
TIGHT_SCRIPT = f"weights_bytes = {100 * MIB}\nkv_bytes_per_token = {64 * 1024}\n"


async def test_a_request_that_can_never_fit_is_refused_with_the_arithmetic(tmp_path: Path) -> None:
    spec = model(tmp_path, TIGHT_SCRIPT)
    async with fleet_of(tmp_path, memory=TIGHT) as fleet:
        with pytest.raises(MemoryPressure, match=r"12\d\d tokens of 64 KiB.*leave 0\.12 GiB") as raised:
            await answer(fleet, spec, max_tokens=1200)
        assert raised.value.retry_after_s is None
        assert "context" not in raised.value.message
        assert (await answer(fleet, spec, max_tokens=1000)).reason is FinishReason.STOP


async def test_a_request_that_names_no_maximum_gets_what_memory_leaves(tmp_path: Path) -> None:
    spec = model(tmp_path, TIGHT_SCRIPT + f"default_text = '{'x' * 2000}'")
    async with fleet_of(tmp_path, memory=TIGHT) as fleet:
        ended = await answer(fleet, spec)
        assert ended.prompt_tokens + ended.completion_tokens == 1024
        assert ended.reason is FinishReason.LENGTH


async def test_the_setting_limits_who_names_no_maximum_and_nobody_else(tmp_path: Path) -> None:
    spec = model(tmp_path, f"default_text = '{'x' * 50}'")
    async with fleet_of(tmp_path, engine=EngineSettings(stop_timeout_s=1, default_completion_tokens=7)) as fleet:
        assert (await answer(fleet, spec)).completion_tokens == 7
        assert (await answer(fleet, spec, max_tokens=9)).completion_tokens == 9


async def test_a_request_that_does_not_fit_beside_the_others_waits_for_them(tmp_path: Path) -> None:
    spec = model(tmp_path, TIGHT_SCRIPT + "step_delay_s = 0.02")
    async with fleet_of(tmp_path, memory=TIGHT) as fleet:
        engine = await fleet.ensure(spec)
        tasks = [asyncio.create_task(answer(fleet, spec, text=f"r{n}", max_tokens=700)) for n in range(2)]
        await asyncio.sleep(0.1)
        assert (engine.line.admission.running_count, engine.line.admission.waiting_count) == (1, 1)
        assert [ended.reason for ended in await asyncio.gather(*tasks)] == [FinishReason.STOP] * 2


async def test_memory_near_the_limit_is_told_once_and_again_after_it_was_far(tmp_path: Path) -> None:
    spec = model(tmp_path, f"weights_bytes = {200 * MIB}\nkv_bytes_per_token = {MIB}\nstep_delay_s = 0.001")
    memory = MemorySettings(recommended_working_set_bytes=245 * MIB, reserve_bytes=0, kv_floor_tokens=1)
    # The budget is for 2 x 256 tokens at the least, which this machine has not: the plan is told to be smaller.
    smaller = msgspec.structs.replace(spec, kv_bytes_per_token=1)
    async with fleet_of(tmp_path, memory=memory) as fleet:
        with capture_logs() as logs:
            for _ in range(2):
                await answer(fleet, smaller)
        told = [log for log in logs if log["event"] == "memory_near_limit"]
        assert [log["log_level"] for log in told] == ["warning", "warning"]
        assert told[0]["limit_bytes"] == 245 * MIB
        assert not fleet.memory.near_limit
