"""The fleet with real engine processes (scripted runner): loaded on demand, drained, unloaded, refused."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.contracts.admin import EngineState, FailureReason, PrefixCacheCounts
from gateway.contracts.chat import FinishReason
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import EngineFault, EngineStartFailed, MemoryPressure, QueueFull
from gateway.settings import ClassSettings, MemorySettings, QueueSettings
from gateway.telemetry.declarations import Declarations
from gateway.telemetry.engines import EngineMetrics
from gateway.telemetry.metrics import Metrics
from gateway.wire import Step
from tests.support.engine_client import submit
from tests.support.fleets import WHOLE, fleet_of, spec_of, until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import SCRIPTED

pytestmark = pytest.mark.anyio


async def test_an_engine_is_loaded_on_demand_and_shared(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    async with fleet_of(tmp_path) as bench:
        answers = await asyncio.gather(*(bench.answer(spec, "capital of France") for _ in range(8)))
        assert answers == ["The capital of France is Paris."] * 8
        assert len(list(bench.fleet.engines)) == 1


async def test_a_failed_step_ends_its_request_and_serving_goes_on(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "faulty")
    async with fleet_of(tmp_path) as bench:
        with pytest.raises(EngineFault):
            await bench.answer(spec, "RAISE")
        assert await bench.answer(spec, "hello") == "All is well."
        assert bench.failures == []


class OnceBroken(EngineMetrics):
    """A gateway with a bug in what it does with an engine's messages."""

    broken = True

    def stepped(self, step: Step, *, before: PrefixCacheCounts) -> None:
        if self.broken:
            self.broken = False
            raise RuntimeError("a prompt stands here")
        super().stepped(step, before=before)


async def test_an_error_of_our_own_over_a_message_restarts_the_engine_and_hangs_nobody(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    metrics = Metrics()
    metrics.engines = OnceBroken(Declarations())
    async with fleet_of(tmp_path, metrics=metrics) as bench:
        with capture_logs() as logs:
            answer = await asyncio.wait_for(bench.answer(spec, "capital of France", terms=WHOLE), 20)
        assert answer == "The capital of France is Paris."
        assert [failure.reason for failure in bench.failures] == [FailureReason.CRASHED]
        (told,) = [log for log in logs if log["event"] == "engine_reader_failed"]
        assert told["error_type"] == "RuntimeError"
        assert "prompt" not in str(told)


async def test_a_full_line_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor", max_rows=1)
    async with fleet_of(tmp_path, queue=QueueSettings(interactive=ClassSettings(max_queued=1))) as bench:
        await bench.fleet.ensure(spec)
        results = await asyncio.gather(*(bench.answer(spec, "slowly") for _ in range(3)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, QueueFull)]
        assert len(refused) == 1
        assert (refused[0].retry_after_s or 0) >= 1


async def test_who_waits_too_long_is_told_so(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor", max_rows=1)
    async with fleet_of(tmp_path, queue=QueueSettings(interactive=ClassSettings(timeout_s=0.05))) as bench:
        await bench.fleet.ensure(spec)
        results = await asyncio.gather(
            bench.answer(spec, "slowly"), bench.answer(spec, "slowly"), return_exceptions=True
        )
        assert isinstance(results[0], str)
        assert isinstance(results[1], QueueFull)


async def test_draining_lets_streams_end_on_their_engine(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    async with fleet_of(tmp_path) as bench:
        await bench.fleet.ensure(spec)
        async with bench.fleet.generate(spec, submit("r", "slowly"), SchedulingClass.INTERACTIVE) as generation:
            retired = bench.fleet.retire(spec)
            await asyncio.sleep(0)
            deltas = [delta async for delta in generation]
        assert deltas[-1].finish_reason is FinishReason.STOP
        await asyncio.wait_for(retired, 20)
        assert list(bench.fleet.engines) == []


async def test_an_engine_asked_for_while_it_unloads_is_loaded_again(tmp_path: Path) -> None:
    spec = spec_of(SCRIPTED / "tutor")
    async with fleet_of(tmp_path) as bench:
        first = await bench.fleet.ensure(spec)
        retired = bench.fleet.retire(spec)
        await until(lambda: first.state is EngineState.UNLOADING)
        assert await bench.answer(spec, "capital of France") == "The capital of France is Paris."
        assert retired.done()
        assert bench.fleet.find(spec) is not first


async def test_an_engine_that_cannot_load_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(spec_of(SCRIPTED / "tutor"), path=str(tmp_path / "gone"), weights_digest="gone")
    async with fleet_of(tmp_path) as bench:
        with pytest.raises(EngineStartFailed, match="gone"):
            await bench.fleet.ensure(spec)
        assert list(bench.fleet.engines) == []


async def test_an_engine_over_the_budget_is_refused_with_the_arithmetic(tmp_path: Path) -> None:
    memory = MemorySettings(recommended_working_set_bytes=2 * 1024**3, reserve_bytes=1024**3)
    small = spec_of(SCRIPTED / "tutor")
    large = msgspec.structs.replace(small, weights_bytes=2 * 1024**3, weights_digest="large")
    async with fleet_of(tmp_path, memory=memory) as bench:
        await bench.fleet.ensure(small)
        with pytest.raises(MemoryPressure, match=r"2\.00 GiB for its weights.*over the limit of 2\.00 GiB"):
            await bench.fleet.ensure(large)
        assert bench.fleet.find(small) is not None


@pytest.mark.parametrize("whole", [False, True])
async def test_a_tap_gets_what_comes_between_the_first_delta_and_the_last_of_an_answer_that_is_streamed(
    tmp_path: Path, *, whole: bool
) -> None:
    text = "It is said word by word."
    spec = spec_of(write_scripted_model(tmp_path / "model", f'default_text = "{text}"\nstep_delay_s = 0.02'))
    terms = WHOLE if whole else None
    tapped: list[str] = []
    async with (
        fleet_of(tmp_path) as bench,
        bench.fleet.generate(spec, submit("r", "hello"), SchedulingClass.INTERACTIVE, terms) as generation,
    ):
        generation.tap = lambda delta: tapped.append(delta.text) is None
        read = [delta.text async for delta in generation]
    if whole:
        assert (tapped, read[-1]) == ([], text)
    else:
        assert tapped
        assert "".join([read[0], *tapped, *read[1:]]) == text
