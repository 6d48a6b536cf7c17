"""What becomes of requests when their engine dies under them: each gets one true answer."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from gateway.contracts.admin import EngineState, FailureReason
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import EngineCrashed, GatewayError, InvalidRequest
from gateway.fleet.engine import Engine
from gateway.fleet.generation import Terms
from gateway.settings import ClassSettings, EngineSettings, QueueSettings
from gateway.wire import Score, TokenDelta
from tests.support.engine_client import submit
from tests.support.fleets import QUICK, WHOLE, Bench, fleet_of, pid_of, running, spec_of, until
from tests.support.scripted_model import write_scripted_model

pytestmark = pytest.mark.anyio

TRIAL = Terms(whole=True, runs_again=False)
LONG = "This answer takes long enough for its engine to fail before it ends, more than once."
HEALTHY = f"""
default_text = "All is well."
[[answers]]
match = "slowly"
text = "{LONG}"
step_delay_s = 0.01
"""
HANGING = HEALTHY + "[[faults]]\nmatch = 'HANG'\nkind = 'hang'\n"
POISONED = HEALTHY + "[[faults]]\nmatch = 'POISON'\nkind = 'exit'\nat_token = 3\n"


async def kill(bench: Bench, engine: Engine) -> None:
    """Kill the engine's process and wait until that is known."""
    before = len(bench.failures)
    os.kill(pid_of(engine), signal.SIGKILL)
    await until(lambda: len(bench.failures) > before)


async def is_said(engine: Engine) -> None:
    """Wait until the engine has said something of what runs."""
    await until(lambda: engine.view(variants=(), predicted_bytes=0).rows > 0)


async def test_an_answer_that_is_sent_whole_begins_again_and_is_whole_once(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HEALTHY)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        request = submit("r", "slowly")
        deltas: list[TokenDelta] = []
        async with bench.fleet.generate(engine.spec, request, SchedulingClass.INTERACTIVE, WHOLE) as generation:
            async for delta in generation:
                deltas.append(delta)
                if len(deltas) == 3:
                    os.kill(pid_of(engine), signal.SIGKILL)
        last, counts = deltas[-1], [delta.completion_tokens for delta in deltas]
        assert (last.text, last.finish_reason) == (LONG, FinishReason.STOP)
        assert last.completion_tokens == len(LONG.encode()) + 1
        assert counts != sorted(counts)
        assert len(bench.failures) == 1
        assert 'gateway_requests_run_again_total{class="interactive"} 1.0' in bench.metrics.render()[0].decode()


async def test_a_stream_of_which_nothing_was_sent_begins_again(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HANGING)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        stream = bench.started(engine.spec, "HANG slowly")
        await until(lambda: running(engine) == 1)
        write_scripted_model(model, HEALTHY)
        await kill(bench, engine)
        assert await stream == LONG


async def test_what_a_crash_found_untaken_of_a_stream_is_not_said_twice(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HEALTHY)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        request = submit("r", "slowly")
        async with bench.fleet.generate(engine.spec, request, SchedulingClass.INTERACTIVE) as generation:
            await is_said(engine)
            await kill(bench, engine)
            assert "".join([delta.text async for delta in generation]) == LONG


async def test_a_row_is_given_up_at_the_end_of_its_answer_however_slowly_that_is_read(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HEALTHY)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model, max_rows=1))
        request = submit("r", "slowly")
        async with bench.fleet.generate(engine.spec, request, SchedulingClass.INTERACTIVE) as generation:
            await until(lambda: running(engine) == 0)
            assert await bench.answer(engine.spec, "hello") == "All is well."
            assert [delta.text async for delta in generation] == [LONG]


async def test_a_stream_that_was_begun_ends_with_the_error_after_what_was_said(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HEALTHY)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        said: list[str] = []
        async with bench.fleet.generate(engine.spec, submit("r", "slowly"), SchedulingClass.INTERACTIVE) as generation:
            deltas = aiter(generation)
            said.append((await anext(deltas)).text)
            os.kill(pid_of(engine), signal.SIGKILL)
            with pytest.raises(EngineCrashed, match="SIGKILL"):
                said.extend([delta.text async for delta in deltas])
        assert LONG.startswith("".join(said))


async def test_the_second_crash_is_the_last(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HANGING)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        request = bench.started(engine.spec, "HANG", terms=WHOLE)
        for _ in range(2):
            await until(lambda: running(engine) == 1 and engine.pid is not None)
            await kill(bench, engine)
        with pytest.raises(EngineCrashed):
            await request
        assert running(engine) == engine.line.admission.waiting_count == 0


async def test_a_trial_sees_the_crash(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HANGING)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        trial = bench.started(engine.spec, "HANG", terms=TRIAL)
        await until(lambda: running(engine) == 1)
        await kill(bench, engine)
        with pytest.raises(EngineCrashed):
            await trial


async def test_a_trial_that_only_waited_has_seen_no_crash(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HANGING)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model, max_rows=1))
        bench.started(engine.spec, "HANG", terms=TRIAL).add_done_callback(lambda task: task.exception())
        await until(lambda: running(engine) == 1)
        trial = bench.started(engine.spec, "hello", terms=TRIAL)
        await until(lambda: engine.line.admission.waiting_count == 1)
        await kill(bench, engine)
        assert await trial == "All is well."


async def test_a_score_is_computed_again(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HANGING)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        hanging = bench.started(engine.spec, "HANG", terms=TRIAL)
        await until(lambda: running(engine) == 1)
        score = Score(request_id="s", tokens=(72, 105, 33), messages=(), template_arguments={}, top_k=1)

        async def scored() -> int:
            async with bench.fleet.generate(engine.spec, score, SchedulingClass.EVALUATION, WHOLE) as generation:
                return len(await generation.scores())

        scoring = asyncio.create_task(scored())  # the thread that scores stands still in the other's step
        await until(lambda: running(engine) == 2)
        await kill(bench, engine)
        assert await scoring == 2
        await asyncio.gather(hanging, return_exceptions=True)


async def test_one_that_runs_again_stands_where_it_stood_before_those_who_waited(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HANGING)
    queue = QueueSettings(interactive=ClassSettings(max_queued=1))
    async with fleet_of(tmp_path, queue=queue) as bench:
        engine = await bench.fleet.ensure(spec_of(model, max_rows=1))
        order: list[str] = []

        async def ask(text: str) -> None:
            await bench.answer(engine.spec, text, terms=WHOLE)
            order.append(text)

        first = asyncio.create_task(ask("first HANG"))
        await until(lambda: running(engine) == 1)
        second = asyncio.create_task(ask("second"))  # the line is full with it
        await until(lambda: engine.line.admission.waiting_count == 1)
        write_scripted_model(model, HEALTHY)
        await kill(bench, engine)
        await asyncio.gather(first, second)
        assert order == ["first HANG", "second"]


async def test_a_request_that_crashes_the_engine_alone_is_refused_afterwards(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", POISONED)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        with pytest.raises(EngineCrashed):
            await bench.answer(engine.spec, "POISON", terms=WHOLE)
        await until(lambda: len(bench.failures) == 2)
        assert {failure.reason for failure in bench.failures} == {FailureReason.EXITED}
        for _ in range(2):
            with pytest.raises(InvalidRequest, match="change the request") as refused:
                await bench.answer(engine.spec, "POISON")
            assert refused.value.code is ErrorCode.REQUEST_CRASHES_ENGINE
        assert await bench.answer(engine.spec, "POISO") == "All is well."
        assert len(bench.failures) == 2
        metrics = bench.metrics.render()[0].decode()
        assert 'gateway_requests_refused_total{class="interactive",reason="quarantine"} 2.0' in metrics


async def test_a_suspect_waits_for_no_more_memory_than_it_may_need(tmp_path: Path) -> None:
    model, other = write_scripted_model(tmp_path / "model", POISONED), write_scripted_model(tmp_path / "other", HEALTHY)
    async with fleet_of(tmp_path) as bench:
        await bench.fleet.ensure(spec_of(other))  # beside it, the longest row that there could be fits no more
        engine = await bench.fleet.ensure(spec_of(model))
        for _ in range(2):
            with pytest.raises(EngineCrashed):
                await bench.answer(engine.spec, "POISON", terms=TRIAL, scheduling_class=SchedulingClass.EVALUATION)


async def test_those_who_were_beside_it_are_run_alone_cleared_and_never_blocked(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", POISONED)
    settings = EngineSettings(restart_backoff_initial_s=0.01, stop_timeout_s=1, breaker_failures=10)
    async with fleet_of(tmp_path, engine=settings) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        texts = ["slowly 1", "slowly 2", "POISON"]
        together = [bench.started(engine.spec, text, terms=WHOLE) for text in texts]
        results = await asyncio.gather(*together, return_exceptions=True)
        # The poison is faster than its neighbours, which have not ended at either crash.
        assert [type(result) for result in results] == [EngineCrashed] * 3

        seen: Counter[int] = Counter()
        again = [bench.started(engine.spec, text, terms=WHOLE) for text in texts]
        while not all(task.done() for task in again):
            seen[running(engine)] += 1
            await asyncio.sleep(0.001)
        results = await asyncio.gather(*again, return_exceptions=True)
        assert max(seen) == 1
        assert results[:2] == [LONG, LONG]
        assert isinstance(results[2], EngineCrashed)
        assert len(bench.failures) == 3

        with pytest.raises(InvalidRequest):
            await bench.answer(engine.spec, "POISON")
        third = [bench.started(engine.spec, text) for text in texts[:2]]
        await until(lambda: running(engine) == 2)
        assert await asyncio.gather(*third) == [LONG, LONG]


async def test_others_wait_while_a_suspect_runs_and_are_not_measured_beside_it_either(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HANGING + "at_token = 3\n")
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        beside = bench.started(engine.spec, "slowly", terms=TRIAL)
        suspect = bench.started(engine.spec, "HANG", terms=TRIAL)
        await until(lambda: running(engine) == 2)
        await kill(bench, engine)
        await asyncio.gather(beside, suspect, return_exceptions=True)
        alone = bench.started(engine.spec, "HANG", terms=TRIAL)
        await until(lambda: running(engine) == 1 and engine.state is EngineState.READY)
        await is_said(engine)
        os.kill(pid_of(engine), signal.SIGSTOP)  # it says neither yes nor no to what it is asked from here on
        other = bench.started(engine.spec, "hello")
        await until(lambda: engine.line.admission.waiting_count == 1)
        for _ in range(20):  # more turns than there are between its entry and the engine
            await asyncio.sleep(0)
        assert running(engine) == 1
        await kill(bench, engine)
        with pytest.raises(EngineCrashed):
            await alone
        assert await other == "All is well."
        with pytest.raises(InvalidRequest):
            await bench.answer(engine.spec, "HANG")
        assert await bench.answer(engine.spec, "slowly") == LONG


async def test_a_flood_of_one_poison_crashes_the_engine_twice_and_no_more(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", POISONED)
    async with fleet_of(tmp_path) as bench:
        engine = await bench.fleet.ensure(spec_of(model))
        flood = [bench.started(engine.spec, "POISON", terms=WHOLE) for _ in range(40)]
        results = await asyncio.gather(*flood, return_exceptions=True)
        assert len(bench.failures) == 2
        assert Counter(type(result) for result in results) == {EngineCrashed: 4, InvalidRequest: 36}


async def test_of_256_streams_each_has_one_end_also_across_a_crash(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", HEALTHY)
    async with fleet_of(tmp_path, engine=QUICK) as bench:
        engine = await bench.fleet.ensure(spec_of(model, max_rows=64))
        ends: Counter[int] = Counter()
        begun: set[int] = set()

        async def stream(number: int) -> str:
            """Return how the stream ended; a second end would be seen, for it is read to exhaustion."""
            request = submit(f"s{number}", f"slowly {number}")
            texts: list[str] = []
            try:
                async with bench.fleet.generate(
                    engine.spec, request, SchedulingClass.INTERACTIVE, Terms(whole=number % 4 == 0)
                ) as generation:
                    async for delta in generation:
                        texts.append(delta.text)
                        begun.add(number)
                        ends[number] += delta.finish_reason is not None
            except EngineCrashed:
                ends[number] += 1
                assert LONG.startswith("".join(texts))
                return "crashed"
            except GatewayError as error:
                ends[number] += 1
                return error.code
            whole = texts[-1] if number % 4 == 0 else "".join(texts)
            return "answered" if whole == LONG else f"said {whole}"

        streams = [asyncio.create_task(stream(number)) for number in range(256)]
        # An engine may tell of a row before the first token of any has been taken: then nothing would be lost.
        await until(lambda: any(number % 4 for number in begun))
        await kill(bench, engine)
        results = Counter(await asyncio.gather(*streams))
        assert set(results) == {"answered", "crashed"}
        # Only streams that had begun were lost; the rest have waited, or begun again.
        assert results["crashed"] <= 48
        assert ends == dict.fromkeys(range(256), 1)
        assert running(engine) == engine.line.admission.waiting_count == 0
