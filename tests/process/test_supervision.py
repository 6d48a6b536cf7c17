"""Engines that fail, by real signals on real processes (scripted runner): what is told, and when they are back."""

import asyncio
import os
import resource
import signal
from pathlib import Path

import psutil
import pytest

from gateway.contracts.admin import BreakerState, EngineState, FailureReason
from gateway.errors import EngineCrashed, EngineStartFailed, NotReady
from gateway.fleet.engine import Engine
from gateway.settings import EngineSettings
from tests.support.fleets import QUICK, WHOLE, Bench, fleet_of, pid_of, running, spec_of, until
from tests.support.scripted_model import write_scripted_model

pytestmark = pytest.mark.anyio

HUNG_QUICKLY = EngineSettings(step_timeout_s=0.4, restart_backoff_initial_s=0.01, stop_timeout_s=1)
SCRIPT = """
default_text = "All is well."
[[answers]]
match = "slowly"
text = "This answer takes long enough for its engine to fail before it ends."
step_delay_s = 0.02
[[faults]]
match = "HANG"
kind = "hang"
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_scripted_model(tmp_path / "model", SCRIPT)


async def killed_under_a_stream(bench: Bench, engine: Engine, number: int) -> BaseException | str:
    """Send the signal to an engine that has begun to stream an answer; return what the stream's client got."""
    # Each its own, or the second would make it a suspect and the third would be refused.
    stream = bench.started(engine.spec, f"slowly {number}")
    await until(lambda: engine.view(variants=(), predicted_bytes=0).rows == 1)
    os.kill(pid_of(engine), number)
    (result,) = await asyncio.gather(stream, return_exceptions=True)
    return result


async def test_a_signal_is_told_by_its_name_and_the_engine_comes_back_after_a_drawn_pause(
    tmp_path: Path, model: Path
) -> None:
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        for count, (number, reason) in enumerate(
            [
                (signal.SIGKILL, FailureReason.KILLED),
                (signal.SIGSEGV, FailureReason.CRASHED),
                (signal.SIGABRT, FailureReason.CRASHED),
            ],
            start=1,
        ):
            result = await killed_under_a_stream(bench, engine, number)
            assert isinstance(result, EngineCrashed)
            assert number.name in result.message
            await until(lambda: len(bench.failures) == count)  # noqa: B023 - awaited here
            failure = bench.failures[-1]
            assert (failure.reason, failure.signal_name, failure.loading) == (reason, number.name, False)
            assert failure.memory.active_bytes > 0
            assert failure.request_count == 1
            longest_s = min(QUICK.restart_backoff_initial_s * 2 ** (count - 1), QUICK.restart_backoff_max_s)
            assert longest_s / 2 <= (failure.restart_in_s or 0) <= longest_s
            await until(lambda: engine.state is EngineState.READY)
            view = engine.view(variants=(), predicted_bytes=0)
            assert (view.restarts, view.last_failure, view.detail) == (count, reason, "")
            assert await bench.answer(engine.spec, "hello") == "All is well."


async def test_a_process_that_stands_still_under_requests_is_killed_and_told_as_hung(
    tmp_path: Path, model: Path
) -> None:
    async with fleet_of(tmp_path, engine=HUNG_QUICKLY) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        result = await killed_under_a_stream(bench, engine, signal.SIGSTOP)
        assert isinstance(result, EngineCrashed)
        assert "engine.step_timeout_s" in result.message
        await until(lambda: bool(bench.failures))
        assert [failure.reason for failure in bench.failures] == [FailureReason.HUNG]


async def test_one_that_never_says_yes_or_no_hangs_too_and_the_request_is_answered_by_the_next(
    tmp_path: Path, model: Path
) -> None:
    async with fleet_of(tmp_path, engine=HUNG_QUICKLY) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        os.kill(pid_of(engine), signal.SIGSTOP)
        assert await bench.answer(engine.spec, "hello") == "All is well."
        assert [failure.reason for failure in bench.failures] == [FailureReason.HUNG]


async def test_a_step_that_never_returns_is_a_hang_though_the_process_still_reads(tmp_path: Path, model: Path) -> None:
    """Its other thread says yes to more requests all the while."""
    async with fleet_of(tmp_path, engine=HUNG_QUICKLY) as bench:
        engine = await bench.fleet.ensure(spec_of(model, max_rows=1))
        hanging = bench.started(engine.spec, "HANG")
        while not hanging.done():
            waiting = bench.started(engine.spec, "hello")
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.wait([waiting])
        with pytest.raises(EngineCrashed):
            await hanging
        assert {failure.reason for failure in bench.failures} == {FailureReason.HUNG}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits the memory of another process")
async def test_a_process_that_gets_no_more_memory_is_told_as_out_of_memory(tmp_path: Path, model: Path) -> None:
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        process = psutil.Process(pid_of(engine))
        limit_bytes = process.memory_info().vms + 2 * 1024**2
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
        large = bench.started(engine.spec, "secret " * 2_000_000)
        await until(lambda: bool(bench.failures))
        large.cancel()
        failure = bench.failures[0]
        assert failure.reason is FailureReason.OUT_OF_MEMORY
        assert "secret" not in failure.sentence
        await until(lambda: engine.state is EngineState.READY)
        assert await bench.answer(engine.spec, "hello") == "All is well."


async def test_a_start_that_fails_says_why_and_is_counted(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "broken", "load_failure = 'The weights are broken; copy them again.'")
    async with fleet_of(tmp_path) as bench:
        with pytest.raises(EngineStartFailed, match="weights are broken"):
            await bench.fleet.ensure(spec_of(model))
        (failure,) = bench.failures
        assert (failure.reason, failure.loading, failure.restart_in_s) == (FailureReason.START_FAILED, True, None)
        assert list(bench.fleet.engines) == []


async def test_a_start_that_takes_too_long_is_a_failed_one(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "slow", "load_delay_s = 600")
    async with fleet_of(tmp_path, engine=EngineSettings(start_timeout_s=0.3)) as bench:
        with pytest.raises(EngineStartFailed, match=r"engine\.start_timeout_s"):
            await bench.fleet.ensure(spec_of(model))
        assert [failure.reason for failure in bench.failures] == [FailureReason.START_FAILED]


async def test_a_restart_that_fails_is_tried_again_until_it_works_and_requests_wait(
    tmp_path: Path, model: Path
) -> None:
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        script = model / "scripted.toml"
        script.rename(model / "away")
        os.kill(pid_of(engine), signal.SIGKILL)
        await until(lambda: len(bench.failures) > 1)
        waiting = bench.started(engine.spec, "hello")
        assert bench.failures[1].reason is FailureReason.START_FAILED
        (model / "away").rename(script)
        assert await waiting == "All is well."


async def test_an_engine_that_fails_in_a_row_rests_and_its_requests_are_refused_at_once(
    tmp_path: Path, model: Path
) -> None:
    settings = EngineSettings(breaker_failures=2, breaker_open_s=1.0, restart_backoff_initial_s=0.01, stop_timeout_s=1)
    async with fleet_of(tmp_path, engine=settings) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        os.kill(pid_of(engine), signal.SIGKILL)
        await until(lambda: len(bench.failures) == 1 and engine.pid is not None)
        running_one = bench.started(engine.spec, "HANG")
        await until(lambda: running(engine) == 1)
        os.kill(pid_of(engine), signal.SIGKILL)
        # The one that ran is in line again, to run once more: it is told what everybody is told.
        with pytest.raises(NotReady) as told:
            await running_one
        assert told.value.retry_after_s is not None
        with pytest.raises(NotReady, match="2 times in a row") as refused:
            await bench.answer(engine.spec, "hello")
        assert 0 < (refused.value.retry_after_s or 0) <= 2
        view = engine.view(variants=(), predicted_bytes=0)
        assert (view.breaker, view.state) == (BreakerState.OPEN, EngineState.RESTARTING)
        assert "requests are refused" in view.detail
        assert view.retry_after_s is not None

        await until(lambda: engine.state is EngineState.READY)
        assert engine.view(variants=(), predicted_bytes=0).breaker is BreakerState.HALF_OPEN
        assert engine.line.admission.capacity == 1
        assert await bench.answer(engine.spec, "hello") == "All is well."
        assert engine.view(variants=(), predicted_bytes=0).breaker is BreakerState.CLOSED
        assert engine.line.admission.capacity == engine.spec.max_rows


async def test_a_process_with_much_to_say_does_not_stand_still_before_a_full_pipe(tmp_path: Path) -> None:
    """Each error in a step writes a traceback of the engine's to standard error; a pipe holds 64 KiB."""
    faulty = write_scripted_model(tmp_path / "faulty", "faults = [{match = 'RAISE', kind = 'raise'}]")
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(faulty))
        for _ in range(150):
            await asyncio.gather(bench.answer(engine.spec, "RAISE", terms=WHOLE), return_exceptions=True)
        assert bench.failures == []
        assert await bench.answer(engine.spec, "hello") == "This is a scripted answer."
