"""The memory of the engine that serves is lent and always comes back, on real engine processes (scripted runner)."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.contracts.admin import LoanRequest, LoanView
from gateway.contracts.error_codes import ErrorCode
from gateway.errors import EngineStartFailed, InvalidRequest, NotFound, NotReady, SwapAbandoned
from gateway.fleet.swap import SwapPoint
from gateway.scrape import render_metrics
from gateway.settings import SwapSettings
from tests.support.fleets import until
from tests.support.swapping import MODEL, ROOM_FOR_ONE, SIZE, Answer, Swapping, swapping

pytestmark = pytest.mark.anyio

ENDLESS = f'[[answers]]\nmatch = "endless"\ntext = "{"on and " * 400}"\nstep_delay_s = 0.02\n'
SCRIPTS = {
    "old": SIZE + 'default_text = "old"\n' + ENDLESS,
    "new": SIZE + 'default_text = "new"\n' + ENDLESS,
    "slow": SIZE + 'default_text = "slow"\nload_delay_s = 0.3\n',
    "cursed": SIZE + 'load_failure = "it is cursed"',
    "crashing": SIZE + '[[faults]]\nmatch = ""\nkind = "kill"',
}
LONG_S = 60.0
"""Of a loan that a test gives back."""


@asynccontextmanager
async def one_fits(state_dir: Path, *, swap: SwapSettings | None = None) -> AsyncGenerator[Swapping]:
    async with swapping(state_dir, SCRIPTS, memory=ROOM_FOR_ONE, swap=swap) as it:
        yield it


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the module, whose tests share a gateway."""
    return "asyncio"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Swapping]:
    async with one_fits(tmp_path_factory.mktemp("loans")) as it:
        yield it


@pytest.fixture
async def it(shared: Swapping) -> AsyncGenerator[Swapping]:
    """Yield the gateway, which serves `old` and has lent nothing."""
    await shared.gateway.end_loan()
    assert (await shared.ask()).text == "old"
    assert shared.loaded() == {"old"}
    yield shared
    await shared.gateway.end_loan()


async def lent(it: Swapping, name: str = "new", *, for_s: float = LONG_S, turn_away: bool = False) -> LoanView:
    variant = it.variants[name].reference
    return await it.gateway.lend(LoanRequest(variant=variant, model=MODEL, for_s=for_s, turn_away=turn_away))


async def waiting(it: Swapping) -> asyncio.Task[Answer]:
    """Have a request of production wait for the loan to end."""
    before = it.gateway.fleet.waiting_count((await it.route()).scheduling_class)
    task = asyncio.create_task(it.ask())
    scheduling_class = (await it.route()).scheduling_class
    await until(lambda: it.gateway.fleet.waiting_count(scheduling_class) > before)
    return task


async def test_production_waits_while_the_memory_is_lent_and_is_answered_when_it_is_back(it: Swapping) -> None:
    assert (await lent(it)).ends_in_s == LONG_S
    assert it.loaded() == {"new"}
    production = await waiting(it)
    assert (await it.ask(pin="new")).text == "new"
    assert not production.done()
    await it.gateway.end_loan()
    assert (await production).text == "old"
    assert it.loaded() == {"old"}
    deployment = await it.deployment()
    assert (deployment.revision, await it.log()) == (1, [])


async def test_a_loan_that_nobody_gives_back_ends_by_itself(it: Swapping) -> None:
    await lent(it, for_s=0.1)
    assert (await it.ask()).text == "old"
    assert it.loaded() == {"old"}
    await it.gateway.end_loan()  # of none


async def test_what_runs_when_a_loan_ends_is_cut_and_is_no_fault_of_the_variant(it: Swapping) -> None:
    await lent(it)
    answer = Answer()
    trial = asyncio.create_task(it.ask("endless", pin="new", into=answer))
    await asyncio.wait_for(answer.began.wait(), 20)
    await it.gateway.end_loan()
    error = (await trial).error
    assert error is not None
    assert error.code is ErrorCode.CUT_BY_SWAP
    assert (await it.ask()).text == "old"


async def test_offline_production_is_sent_away_with_the_time_to_come_back(it: Swapping) -> None:
    await lent(it, turn_away=True)
    error = (await it.ask()).error
    assert isinstance(error, NotReady)
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s <= LONG_S + 10
    assert 'reason="offline"' in render_metrics(it.gateway)[0].decode()
    assert (await it.ask(pin="new")).text == "new"
    await it.gateway.end_loan()
    assert (await it.ask()).text == "old"


@pytest.mark.parametrize("name", ["cursed", "crashing"])
async def test_where_the_engine_cannot_be_loaded_the_incumbent_comes_back_at_once(it: Swapping, name: str) -> None:
    with pytest.raises(EngineStartFailed):
        await lent(it, name)
    assert (await it.ask()).text == "old"
    assert it.loaded() == {"old"}


async def test_an_engine_that_is_killed_while_it_is_lent_leaves_the_loan_as_it_is(it: Swapping) -> None:
    await lent(it)
    (engine,) = it.gateway.fleet.engines
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    await until(lambda: engine.restarts == 1)
    assert (await it.ask(pin="new")).text == "new"
    await it.gateway.end_loan()
    assert (await it.ask()).text == "old"


async def test_answers_that_do_not_end_in_time_keep_their_engine_and_the_loan_is_refused(tmp_path: Path) -> None:
    async with one_fits(tmp_path, swap=SwapSettings(drain_timeout_s=0.1)) as it:
        answer = Answer()
        production = asyncio.create_task(it.ask("endless", into=answer))
        await asyncio.wait_for(answer.began.wait(), 20)
        with pytest.raises(SwapAbandoned):
            await lent(it)
        assert not production.done()
        assert (await it.ask()).text == "old"
        production.cancel()


async def test_whoever_asked_may_leave_and_the_memory_comes_back_all_the_same(it: Swapping) -> None:
    with capture_logs() as logs:
        asking = asyncio.create_task(lent(it, "slow", for_s=0.1))
        await until(lambda: "slow" in it.loaded())
        asking.cancel()
        assert (await it.ask()).text == "old"
        await it.gateway.end_loan()  # returns when the loan has ended
    assert [log["outcome"] for log in logs if log["event"] == "loan_ended"] == ["expired"]


async def test_one_loan_at_a_time_and_none_while_an_incumbent_changes(tmp_path: Path) -> None:
    async with one_fits(tmp_path) as it:
        await lent(it)
        with pytest.raises(NotReady, match="lent"):
            await lent(it)
        meanwhile: list[asyncio.Task[LoanView]] = []
        promotion = asyncio.create_task(it.promote("new"))
        await it.gateway.end_loan()
        it.points.then[SwapPoint.COMMITTED] = lambda: meanwhile.append(asyncio.create_task(lent(it)))
        await promotion
        (refused,) = meanwhile
        with pytest.raises(NotReady, match="changed"):
            await refused
        assert it.loaded() == {"new"}


async def test_a_loan_of_an_engine_that_nobody_has_used_for_a_while_keeps_production_waiting_too(
    it: Swapping,
) -> None:
    (engine,) = it.gateway.fleet.engines
    await it.gateway.fleet.unload(engine)
    await lent(it)
    production = await waiting(it)
    await it.gateway.end_loan()
    assert (await production).text == "old"


@pytest.mark.parametrize(("turn_away", "name"), [(False, "swap.wait_timeout_s"), (True, "swap.offline_limit_s")])
async def test_a_loan_that_is_longer_than_production_may_wait_is_refused(
    it: Swapping, turn_away: bool, name: str
) -> None:
    with pytest.raises(InvalidRequest, match=name):
        await lent(it, for_s=7200, turn_away=turn_away)
    with pytest.raises(NotFound):
        await it.gateway.lend(LoanRequest(variant="new", model="absent", for_s=1))
    assert it.loaded() == {"old"}


async def test_a_gateway_that_ends_during_a_loan_ends(tmp_path: Path) -> None:
    async with one_fits(tmp_path) as it:
        await lent(it)
        production = await waiting(it)
        async with asyncio.timeout(20):
            await it.gateway.close()
        error = (await production).error
        assert error is not None
        assert error.code is ErrorCode.SHUTTING_DOWN
