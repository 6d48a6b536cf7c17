"""The incumbent changes under load, on real engine processes (scripted runner)."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.contracts.admin import SwapWay
from gateway.contracts.deployments import PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scoring import ScoreRequest, ScoreView
from gateway.errors import EngineStartFailed, MemoryPressure, NotReady, PromotionRefused, SwapAbandoned
from gateway.fleet.swap import SwapPoint
from gateway.scrape import render_metrics
from gateway.settings import ClassSettings, MemorySettings, QueueSettings, SwapSettings
from tests.support.scripted_model import write_scripted_model
from tests.support.swapping import (
    MIB,
    MODEL,
    QUICK,
    ROOM_FOR_ONE,
    SIZE,
    Answer,
    Swapping,
    prompt_variant,
    swapping,
)

pytestmark = pytest.mark.anyio

STREAM = "A stream that is under way for quite a while."
OLD = (
    SIZE
    + f"""
default_text = "old"
[[answers]]
match = "slowly"
text = "{STREAM}"
step_delay_s = 0.01
[[answers]]
match = "endless"
text = "{STREAM * 40}"
step_delay_s = 0.02
"""
)
NEW = SIZE + 'default_text = "new"\nload_delay_s = 0.2\n'
BOTH_FIT = MemorySettings()
WAYS = pytest.mark.parametrize(("memory", "way"), [(BOTH_FIT, SwapWay.BESIDE), (ROOM_FOR_ONE, SwapWay.IN_TURN)])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


async def begun(swapping: Swapping, text: str, *, pin: str | None = None) -> tuple[Answer, asyncio.Task[Answer]]:
    """Start a request and wait for its first token."""
    answer = Answer()
    task = asyncio.create_task(swapping.ask(text, into=answer, pin=pin))
    await asyncio.wait_for(answer.began.wait(), 20)
    return answer, task


# --- both ways ---


@WAYS
async def test_no_request_is_lost_while_the_incumbent_changes_under_load(
    tmp_path: Path, memory: MemorySettings, way: SwapWay
) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=memory) as it:
        stopped = asyncio.Event()
        answers: list[Answer] = []

        async def keep_asking() -> None:
            for number in itertools.count():
                if stopped.is_set():
                    return
                answers.append(await it.ask("slowly" if number % 2 else "hello"))

        clients = [asyncio.create_task(keep_asking()) for _ in range(16)]
        await until(lambda: len(answers) >= 32)
        streams = [await begun(it, "slowly") for _ in range(2)]
        with capture_logs() as logs:
            await it.promote("new")
        await until(lambda: sum(answer.variant == "new" for answer in answers) >= 32)
        stopped.set()
        await asyncio.gather(*clients)
        for answer, task in streams:
            assert (await task).variant == "old"
            assert answer.text == STREAM
        assert [answer.error for answer in answers] == [None] * len(answers)
        assert {answer.terminal_events for answer in answers} == {1}
        assert {answer.text for answer in answers} <= {"old", "new", STREAM}
        (told,) = [log for log in logs if log["event"] == "swap_finished"]
        assert (told["way"], told["outcome"]) == (way, "done")
        assert (told["gap_s"] > 0) == (way is SwapWay.IN_TURN)
        await until(lambda: it.loaded() == {"new"})
        assert (await it.ask()).text == "new"


async def test_a_request_that_was_routed_before_the_switch_is_answered_by_the_new_engine_all_the_same(
    tmp_path: Path,
) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE) as it:
        route = await it.route()
        await it.promote("new")
        assert (await it.ask(route=route)).text == "new"
        assert it.loaded() == {"new"}


@WAYS
async def test_a_rollback_is_a_swap_back(tmp_path: Path, memory: MemorySettings, way: SwapWay) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=memory) as it:
        await it.promote("new")
        view = await it.roll_back()
        assert view.deployment.incumbent == it.variants["old"].digest
        assert (await it.ask()).text == "old"
        assert [promotion.outcome for promotion in await it.log()] == [PromotionOutcome.DONE] * 2
        await until(lambda: it.loaded() == {"old"})
        assert (
            f'gateway_swaps_total{{model="tutor",outcome="done",way="{way}"}} 2.0'
            in render_metrics(it.gateway)[0].decode()
        )


@pytest.mark.parametrize(
    ("memory", "way", "script", "said"),
    [
        (BOTH_FIT, SwapWay.BESIDE, SIZE + 'load_failure = "it is cursed"', "it is cursed"),
        (ROOM_FOR_ONE, SwapWay.IN_TURN, SIZE + 'load_failure = "it is cursed"', "it is cursed"),
        (BOTH_FIT, SwapWay.BESIDE, SIZE + '[[faults]]\nmatch = ""\nkind = "kill"', "failed its first answer"),
        (ROOM_FOR_ONE, SwapWay.IN_TURN, SIZE + '[[faults]]\nmatch = ""\nkind = "raise"', "failed its first answer"),
    ],
)
async def test_a_new_engine_that_fails_brings_the_old_one_back(
    tmp_path: Path, memory: MemorySettings, way: SwapWay, script: str, said: str
) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": script}, memory=memory) as it:
        before = await it.deployment()
        waiting: list[asyncio.Task[Answer]] = []
        it.points.then[SwapPoint.LOADING] = lambda: waiting.append(asyncio.create_task(it.ask()))
        with pytest.raises(EngineStartFailed, match=said):
            await it.promote("new")
        assert (await waiting[0]).text == "old"
        assert await it.deployment() == before
        (failed,) = await it.log()
        assert failed.outcome is PromotionOutcome.FAILED
        assert said in (failed.reason or "")
        assert it.loaded() == {"old"}
        assert (SwapPoint.RESTORED in it.points.reached) == (way is SwapWay.IN_TURN)


async def test_a_new_engine_that_has_loaded_other_files_never_serves(tmp_path: Path) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE) as it:
        write_scripted_model(tmp_path / "sources" / "new", NEW.replace("new", "forged"))
        with pytest.raises(Exception, match="not those that were registered") as raised:
            await it.promote("new")
        assert getattr(raised.value, "code", None) is ErrorCode.ENGINE_DIFFERS
        assert (await it.ask()).text == "old"
        assert it.loaded() == {"old"}
        assert (await it.log())[0].outcome is PromotionOutcome.FAILED
        assert SwapPoint.COMMITTED not in it.points.reached
        assert SwapPoint.RESTORED in it.points.reached


async def test_what_serves_is_read_back_after_the_swap_and_a_difference_is_recorded(tmp_path: Path) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}) as it:
        _, stream = await begun(it, "endless")  # keeps the old engine
        # A bug of ours, in the moment of the switch: the routes lead to another engine than the registry says.
        before = await it.deployment()
        it.points.then[SwapPoint.SWITCHED] = lambda: it.gateway.switch(before, it.variants["old"])
        with capture_logs() as logs:
            view = await it.promote("new")
        assert view.promotion.outcome is PromotionOutcome.UNVERIFIED
        assert "is to serve" in (view.promotion.reason or "")
        assert [promotion.outcome for promotion in await it.log()] == [
            PromotionOutcome.DONE,
            PromotionOutcome.UNVERIFIED,
        ]
        assert [log["log_level"] for log in logs if log["event"] == "serving_not_verified"] == ["error"]
        stream.cancel()


async def test_a_gate_that_refuses_in_the_last_moment_brings_the_old_engine_back(tmp_path: Path) -> None:
    def refuse() -> None:
        raise PromotionRefused("not any more")

    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE) as it:
        it.points.then[SwapPoint.COMMITTING] = refuse
        with pytest.raises(PromotionRefused, match="not any more"):
            await it.promote("new")
        assert (await it.ask()).text == "old"
        assert it.loaded() == {"old"}
        assert (await it.log())[0].reason == "not any more"
        assert SwapPoint.RESTORED in it.points.reached


# --- where both do not fit ---


async def test_at_the_drain_limit_the_swap_is_abandoned_and_the_old_engine_serves_on(tmp_path: Path) -> None:
    limits = SwapSettings(drain_timeout_s=0.2)
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE, swap=limits) as it:
        _, stream = await begun(it, "slowly endless")
        waiting: list[asyncio.Task[Answer]] = []
        it.points.then[SwapPoint.DOOR_CLOSED] = lambda: waiting.append(asyncio.create_task(it.ask()))
        with pytest.raises(SwapAbandoned, match="--cut-streams"):
            await it.promote("new")
        assert (await waiting[0]).text == "old"
        assert (await stream).error is None
        assert (await it.log())[0].outcome is PromotionOutcome.FAILED
        assert SwapPoint.UNLOADED not in it.points.reached
        assert it.gateway.readiness().ready


async def test_streams_are_cut_at_the_drain_limit_where_the_promotion_says_so(tmp_path: Path) -> None:
    limits = SwapSettings(drain_timeout_s=0.2)
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE, swap=limits) as it:
        answer, stream = await begun(it, "endless")
        await it.promote("new", cut_streams=True)
        await stream
        assert answer.error is not None
        assert answer.error.code is ErrorCode.CUT_BY_SWAP
        assert answer.terminal_events == 1
        assert (await it.ask()).text == "new"


async def test_what_is_to_be_scored_waits_for_the_new_engine_and_the_old_one_is_not_loaded_again_meanwhile(
    tmp_path: Path,
) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE) as it:
        scored = ScoreRequest(model=MODEL, tokens=(1, 2, 3))
        waiting: list[asyncio.Task[object]] = []

        def come() -> None:
            waiting.append(asyncio.create_task(it.gateway.score(scored)))
            waiting.append(asyncio.create_task(it.gateway.load_engine(it.variants["old"].reference)))

        it.points.then[SwapPoint.DOOR_CLOSED] = come
        await it.promote("new")
        score, load = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(score, ScoreView)
        assert score.variant == it.variants["new"].reference
        assert isinstance(load, NotReady)
        assert it.loaded() == {"new"}


async def test_who_waits_for_an_engine_that_is_unloaded_while_it_loads_is_told_so(tmp_path: Path) -> None:
    slow = NEW.replace("load_delay_s = 0.2", "load_delay_s = 60.0")
    async with swapping(tmp_path, {"old": OLD, "new": slow}) as it:
        loading = asyncio.create_task(it.gateway.load_engine(it.variants["new"].reference))
        await until(lambda: "new" in it.loaded())
        await it.gateway.unload_engine(it.variants["new"].reference)
        with pytest.raises(NotReady, match="unloaded"):
            await asyncio.wait_for(loading, 20)
        assert it.loaded() == {"old"}


async def test_who_waits_longer_than_a_swap_may_take_is_told_when_to_come_back(tmp_path: Path) -> None:
    limits = SwapSettings(wait_timeout_s=0.1)
    slow = NEW.replace("load_delay_s = 0.2", "load_delay_s = 1.0")
    async with swapping(tmp_path, {"old": OLD, "new": slow}, memory=ROOM_FOR_ONE, swap=limits) as it:
        waiting: list[asyncio.Task[Answer]] = []
        it.points.then[SwapPoint.DOOR_CLOSED] = lambda: waiting.append(asyncio.create_task(it.ask()))
        await it.promote("new")
        error = (await waiting[0]).error
        assert error is not None
        assert error.code is ErrorCode.NOT_READY
        assert "swap.wait_timeout_s" in error.message
        assert getattr(error, "retry_after_s", 0) >= 1


async def test_the_limits_of_a_class_hold_while_requests_wait_for_a_swap(tmp_path: Path) -> None:
    queue = QueueSettings(interactive=ClassSettings(max_queued=2))
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE, queue=queue) as it:
        waiting: list[asyncio.Task[Answer]] = []
        it.points.then[SwapPoint.DOOR_CLOSED] = lambda: waiting.extend(asyncio.create_task(it.ask()) for _ in range(3))
        await it.promote("new")
        answers = [await task for task in waiting]
        assert [answer.text for answer in answers] == ["new", "new", ""]
        refused = answers[2].error
        assert refused is not None
        assert refused.code is ErrorCode.QUEUE_FULL


async def test_the_old_engine_is_back_where_its_memory_is_not(tmp_path: Path) -> None:
    limits = SwapSettings(memory_timeout_s=0.2)
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE, swap=limits) as it:
        await it.ask()  # the engine has reported what it holds
        it.gateway.fleet.available_bytes = lambda: MIB
        with pytest.raises(SwapAbandoned, match="does not show its memory as free"):
            await it.promote("new")
        assert SwapPoint.RESTORED in it.points.reached
        assert (await it.ask()).text == "old"


async def test_an_engine_that_never_fits_is_refused_before_anything_is_closed(tmp_path: Path) -> None:
    large = NEW.replace(str(8 * MIB), str(64 * MIB))
    async with swapping(tmp_path, {"old": OLD, "new": large}, memory=ROOM_FOR_ONE) as it:
        with pytest.raises(MemoryPressure, match="over the limit"):
            await it.promote("new")
        assert SwapPoint.DOOR_CLOSED not in it.points.reached
        assert (await it.ask()).text == "old"
        assert (await it.log())[0].outcome is PromotionOutcome.FAILED


async def test_a_candidate_that_nobody_uses_makes_room_before_the_incumbent_has_to(tmp_path: Path) -> None:
    memory = MemorySettings(recommended_working_set_bytes=22 * MIB, reserve_bytes=0, kv_floor_tokens=256)
    scripts = {"old": OLD, "new": NEW, "idle": SIZE + 'default_text = "idle"'}
    async with swapping(tmp_path, scripts, memory=memory) as it:
        await it.gateway.load_engine(it.variants["idle"].reference)
        await it.promote("new")
        assert SwapPoint.DOOR_CLOSED not in it.points.reached
        assert "idle" not in it.loaded()


async def test_another_deployments_engine_is_never_unloaded_for_a_swap(tmp_path: Path) -> None:
    others = [("other", "old")]
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE, others=others) as it:
        with pytest.raises(MemoryPressure):
            await it.promote("new")
        assert it.loaded() == {"old"}


# --- pins, prompts, unloading ---


async def test_variants_that_differ_in_their_prompt_alone_are_exchanged_without_loading(tmp_path: Path) -> None:
    async with swapping(tmp_path, {"old": OLD}, memory=ROOM_FOR_ONE) as it:
        pid = next(iter(it.gateway.fleet.engines)).pid
        other = prompt_variant(it.variants["old"], "Be brief.")
        it.variants["prompted"] = await it.registry.add_variant(other.variant)
        await it.promote("prompted")
        assert SwapPoint.LOADING not in it.points.reached
        assert next(iter(it.gateway.fleet.engines)).pid == pid
        assert (await it.deployment()).incumbent == other.digest
        assert (await it.ask()).text == "old"


async def test_a_pinned_request_stays_with_its_variant_while_both_fit(tmp_path: Path) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}) as it:
        _, stream = await begun(it, "endless", pin="old")
        await it.promote("new")
        assert (await it.ask(pin="old")).text == "old"  # the old engine is there as long as it has answers to give
        stream.cancel()
        await until(lambda: it.loaded() == {"new"})
        assert (await it.ask(pin="old")).text == "old"  # and is loaded again after that


async def test_a_pinned_request_that_waits_for_a_swap_is_answered_by_its_own_variant_or_told_the_arithmetic(
    tmp_path: Path,
) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE) as it:
        waiting: list[asyncio.Task[Answer]] = []
        it.points.then[SwapPoint.DOOR_CLOSED] = lambda: waiting.append(asyncio.create_task(it.ask(pin="old")))
        await it.promote("new")
        error = (await waiting[0]).error
        assert error is not None
        assert error.code is ErrorCode.MEMORY_PRESSURE
        assert (await it.ask(pin="new")).text == "new"


async def test_a_rollback_while_the_old_engine_still_answers_takes_it_as_it_is(tmp_path: Path) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}) as it:
        pid = next(iter(it.gateway.fleet.engines)).pid
        answer, stream = await begun(it, "endless")
        await it.promote("new")
        await it.roll_back()
        assert it.gateway.readiness().ready
        old = it.gateway.fleet.find(it.variants["old"].variant.engine)
        assert old is not None
        assert old.pid == pid
        assert not stream.done()
        assert (await it.ask()).text == "old"
        stream.cancel()
        assert answer.error is None


async def test_all_choices_of_an_answer_come_from_the_engine_that_began_it(tmp_path: Path) -> None:
    one_row = msgspec.structs.replace(QUICK, max_rows=1)
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE, engine=one_row) as it:
        answer = Answer()
        asked = asyncio.create_task(it.ask("slowly", into=answer, n=3))
        await asyncio.wait_for(answer.began.wait(), 20)
        await it.promote("new")
        await asked
        assert (answer.variant, answer.error, answer.terminal_events) == ("old", None, 3)
        assert len(answer.text) == 3 * len(STREAM)


async def test_unloading_waits_for_answers_and_is_given_up_where_they_do_not_end(tmp_path: Path) -> None:
    limits = SwapSettings(drain_timeout_s=0.2)
    async with swapping(tmp_path, {"old": OLD, "new": OLD.replace('"old"', '"new"')}, swap=limits) as it:
        reference = it.variants["new"].reference
        await it.gateway.load_engine(reference)
        _, stream = await begun(it, "endless", pin="new")
        with pytest.raises(SwapAbandoned):
            await it.gateway.unload_engine(reference)
        assert (await it.ask(pin="new")).text == "new"
        stream.cancel()
        await asyncio.wait([stream])
        await it.gateway.unload_engine(reference)
        assert it.loaded() == {"old"}


# --- cancellation, crashes, shutdown ---


@WAYS
async def test_clients_that_leave_during_a_swap_leave_nothing_behind(
    tmp_path: Path, memory: MemorySettings, way: SwapWay
) -> None:
    del way
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=memory) as it:
        tasks = [asyncio.create_task(it.ask("endless")) for _ in range(12)]  # 8 rows: some wait

        def leave() -> None:
            tasks.extend(asyncio.create_task(it.ask()) for _ in range(4))
            asyncio.get_running_loop().call_later(0.1, lambda: [task.cancel() for task in tasks])

        it.points.then[SwapPoint.BEGUN] = leave
        await it.promote("new")
        await asyncio.wait(tasks)
        await until(lambda: it.loaded() == {"new"})
        assert all(not engine.line.is_busy for engine in it.gateway.fleet.engines)
        assert (await it.ask()).text == "new"


async def test_those_who_wait_for_a_crashed_engine_are_answered_by_the_new_one(tmp_path: Path) -> None:
    never_again = msgspec.structs.replace(QUICK, restart_backoff_initial_s=30, restart_backoff_max_s=30)
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE, engine=never_again) as it:
        engine = next(iter(it.gateway.fleet.engines))
        engine.kill()
        await until(lambda: engine.pid is None)
        waiting = asyncio.create_task(it.ask())
        await until(lambda: engine.line.is_busy)
        await it.promote("new")
        assert (await waiting).text == "new"


async def test_shutting_down_during_a_swap_answers_those_who_wait_and_records_that_nothing_changed(
    tmp_path: Path,
) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}, memory=ROOM_FOR_ONE) as it:
        before = await it.deployment()
        waiting: list[asyncio.Task[Answer]] = []
        it.points.then[SwapPoint.UNLOADED] = lambda: waiting.append(asyncio.create_task(it.ask()))
        it.points.then[SwapPoint.LOADING] = it.gateway.stop_admitting
        with pytest.raises(Exception, match="shut down") as raised:
            await it.promote("new")
        assert getattr(raised.value, "code", None) is ErrorCode.SHUTTING_DOWN
        error = (await waiting[0]).error
        assert error is not None
        assert error.code is ErrorCode.SHUTTING_DOWN
        assert await it.deployment() == before
        assert (await it.log())[0].outcome is PromotionOutcome.FAILED


async def test_a_promotion_goes_on_where_whoever_asked_for_it_leaves(tmp_path: Path) -> None:
    async with swapping(tmp_path, {"old": OLD, "new": NEW}) as it:
        asked = asyncio.create_task(it.promote("new"))
        await until(lambda: SwapPoint.LOADING in it.points.reached)
        asked.cancel()
        await until(lambda: SwapPoint.CONFIRMED in it.points.reached)
        assert (await it.ask()).text == "new"
