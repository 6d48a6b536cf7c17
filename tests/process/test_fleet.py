"""The fleet with real engine processes (scripted runner): crashes, restarts, cancellation, drain, budget."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import pytest
from structlog.testing import capture_logs

from gateway.contracts.admin import EngineState, PrefixCacheCounts
from gateway.contracts.chat import FinishReason
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.errors import EngineCrashed, EngineFault, EngineStartFailed, MemoryPressure, QueueFull
from gateway.fleet.fleet import Fleet
from gateway.fleet.process import ProcessExit
from gateway.models import read_model_directory
from gateway.settings import ClassSettings, EngineSettings, MemorySettings, QueueSettings, Settings
from gateway.telemetry.metrics import Metrics
from gateway.wire import Sampling, Step, Submit, WireMessage

INTERACTIVE = SchedulingClass.INTERACTIVE
SCRIPTED = Path(__file__).parents[1] / "support" / "scripted"
QUICK = EngineSettings(restart_backoff_initial_s=0.05, restart_backoff_max_s=0.2, stop_timeout_s=1)

pytestmark = pytest.mark.anyio


class MemoryCache:
    """Digests for the time of one test."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, int, int, int], str] = {}

    def cached_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int) -> str | None:
        return self._digests.get((path, size_bytes, mtime_ns, inode))

    def store_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int, digest: str) -> None:
        self._digests[path, size_bytes, mtime_ns, inode] = digest


def spec_of(directory: Path, *, max_rows: int = 4) -> EngineSpec:
    variant = read_model_directory(
        directory, max_rows=max_rows, digest_cache=MemoryCache(), on_progress=lambda _share, _message: None
    )
    return variant.engine


def submit(text: str, request_id: str = "r") -> Submit:
    return Submit(
        request_id=request_id,
        messages=(WireMessage("user", text),),
        template_arguments={},
        max_completion_tokens=None,
        completion_limit=None,
        stop=(),
        sampling=Sampling(temperature=0.0),
    )


@asynccontextmanager
async def fleet_of(
    tmp_path: Path, *, queue: QueueSettings | None = None, memory: MemorySettings | None = None
) -> AsyncGenerator[tuple[Fleet, list[ProcessExit]]]:
    exits: list[ProcessExit] = []
    settings = Settings(
        state_dir=str(tmp_path), engine=QUICK, queue=queue or QueueSettings(), memory=memory or MemorySettings()
    )
    fleet = Fleet(settings, environ=os.environ, on_exit=lambda _spec, exit_: exits.append(exit_), metrics=Metrics())
    try:
        yield fleet, exits
    finally:
        await fleet.close()


async def answer(fleet: Fleet, spec: EngineSpec, text: str, request_id: str = "r") -> str:
    async with fleet.generate(spec, submit(text, request_id), INTERACTIVE) as generation:
        return "".join([delta.text async for delta in generation])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


async def test_an_engine_is_loaded_on_demand_and_shared(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    async with fleet_of(tmp_path) as (fleet, _):
        answers = await asyncio.gather(*(answer(fleet, spec, "capital of France", f"r{n}") for n in range(8)))
        assert answers == ["The capital of France is Paris."] * 8
        assert len(list(fleet.engines)) == 1


@pytest.mark.parametrize(("marker", "words"), [("EXIT", "exited with status"), ("KILL", "SIGKILL")])
async def test_a_crash_ends_each_request_in_flight_once_and_the_engine_comes_back(
    tmp_path: Path, marker: str, words: str
) -> None:
    spec = spec_of(SCRIPTED / "faulty")
    async with fleet_of(tmp_path) as (fleet, exits):
        engine = await fleet.ensure(spec)
        results = await asyncio.gather(
            answer(fleet, spec, "slowly", "neighbour"), answer(fleet, spec, marker, "culprit"), return_exceptions=True
        )
        assert [type(result) for result in results] == [EngineCrashed, EngineCrashed]
        assert words in str(results[1])
        await until(lambda: engine.state is EngineState.READY)
        assert await answer(fleet, spec, "hello") == "All is well."
        assert (engine.restarts, len(exits)) == (1, 1)


async def test_requests_that_wait_survive_a_crash(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "faulty", max_rows=1)
    async with fleet_of(tmp_path) as (fleet, _):
        await fleet.ensure(spec)
        culprit = asyncio.create_task(answer(fleet, spec, "EXIT", "culprit"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(answer(fleet, spec, "hello", "waiting"))
        assert isinstance((await asyncio.gather(culprit, return_exceptions=True))[0], EngineCrashed)
        assert await asyncio.wait_for(waiting, 20) == "All is well."


async def test_a_failed_step_ends_its_request_and_serving_goes_on(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "faulty")
    async with fleet_of(tmp_path) as (fleet, exits):
        with pytest.raises(EngineFault):
            await answer(fleet, spec, "RAISE")
        assert await answer(fleet, spec, "hello") == "All is well."
        assert exits == []


class OnceBroken(Metrics):
    """A gateway with a bug in what it does with an engine's messages."""

    broken = True

    def engine_stepped(self, step: Step, *, before: PrefixCacheCounts) -> None:
        if self.broken:
            self.broken = False
            raise RuntimeError("a prompt stands here")
        super().engine_stepped(step, before=before)


async def test_an_error_of_our_own_over_a_message_restarts_the_engine_and_hangs_nobody(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    exits: list[ProcessExit] = []
    settings = Settings(state_dir=str(tmp_path), engine=QUICK)
    fleet = Fleet(settings, environ=os.environ, on_exit=lambda _spec, exit_: exits.append(exit_), metrics=OnceBroken())
    try:
        with capture_logs() as logs, pytest.raises(EngineCrashed):
            await asyncio.wait_for(answer(fleet, spec, "capital of France"), 20)
        assert await asyncio.wait_for(answer(fleet, spec, "capital of France"), 20) == "The capital of France is Paris."
        assert len(exits) == 1
        (told,) = [log for log in logs if log["event"] == "engine_reader_failed"]
        assert told["error_type"] == "RuntimeError"
        assert "prompt" not in str(told)
    finally:
        await fleet.close()


async def test_leaving_early_frees_the_row(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "faulty")
    async with fleet_of(tmp_path) as (fleet, _):
        engine = await fleet.ensure(spec)
        async with fleet.generate(spec, submit("slow HANG free"), INTERACTIVE) as generation:
            assert generation.prompt_tokens > 0
        assert engine.line.admission.running_count == 0


async def test_a_full_line_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor", max_rows=1)
    async with fleet_of(tmp_path, queue=QueueSettings(interactive=ClassSettings(max_queued=1))) as (fleet, _):
        await fleet.ensure(spec)
        results = await asyncio.gather(
            *(answer(fleet, spec, "slowly", f"r{n}") for n in range(3)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, QueueFull)]
        assert len(refused) == 1
        assert (refused[0].retry_after_s or 0) >= 1


async def test_who_waits_too_long_is_told_so(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor", max_rows=1)
    async with fleet_of(tmp_path, queue=QueueSettings(interactive=ClassSettings(timeout_s=0.05))) as (fleet, _):
        await fleet.ensure(spec)
        results = await asyncio.gather(
            answer(fleet, spec, "slowly", "first"), answer(fleet, spec, "slowly", "second"), return_exceptions=True
        )
        assert isinstance(results[0], str)
        assert isinstance(results[1], QueueFull)


async def test_draining_lets_streams_end_on_their_engine(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    async with fleet_of(tmp_path) as (fleet, _):
        await fleet.ensure(spec)
        async with fleet.generate(spec, submit("slowly"), INTERACTIVE) as generation:
            retired = fleet.retire(spec)
            await asyncio.sleep(0)
            deltas = [delta async for delta in generation]
        assert deltas[-1].finish_reason is FinishReason.STOP
        await asyncio.wait_for(retired, 20)
        assert list(fleet.engines) == []


async def test_an_engine_asked_for_while_it_unloads_is_loaded_again(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    async with fleet_of(tmp_path) as (fleet, _):
        first = await fleet.ensure(spec)
        retired = fleet.retire(spec)
        await until(lambda: first.state is EngineState.UNLOADING)
        assert await answer(fleet, spec, "capital of France") == "The capital of France is Paris."
        assert retired.done()
        assert fleet.find(spec) is not first


async def test_an_engine_that_cannot_load_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(spec_of(SCRIPTED / "tutor"), path=str(tmp_path / "gone"), weights_digest="gone")
    async with fleet_of(tmp_path) as (fleet, _):
        with pytest.raises(EngineStartFailed, match="gone"):
            await fleet.ensure(spec)
        assert list(fleet.engines) == []


async def test_an_engine_over_the_budget_is_refused_with_the_arithmetic(tmp_path: Path) -> None:
    memory = MemorySettings(recommended_working_set_bytes=2 * 1024**3, reserve_bytes=1024**3)
    small = spec_of(SCRIPTED / "tutor")
    large = msgspec.structs.replace(small, weights_bytes=2 * 1024**3, weights_digest="large")
    async with fleet_of(tmp_path, memory=memory) as (fleet, _):
        await fleet.ensure(small)
        with pytest.raises(MemoryPressure, match=r"2\.00 GiB for its weights.*over the limit of 2\.00 GiB"):
            await fleet.ensure(large)
        assert fleet.find(small) is not None


async def test_a_killed_engine_is_told_apart_and_restarted(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    async with fleet_of(tmp_path) as (fleet, exits):
        engine = await fleet.ensure(spec)
        pid = engine.view(variants=(), predicted_bytes=0).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: bool(exits))
        assert exits[0].reason == "sigkill"
        await until(lambda: engine.state is EngineState.READY)
        assert not psutil.pid_exists(pid)
