"""Several choices of one request, over generations that the test tells what to say."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from gateway.choices import choice_submit, derived_seed, run_choices
from gateway.contracts.chat import FinishReason
from gateway.errors import EngineCrashed, QueueFull
from gateway.wire import Sampling, TokenDelta
from tests.support.engine_client import submit

pytestmark = pytest.mark.anyio


class _Generation:
    """Stands where a `gateway.fleet.client.Generation` does."""

    prompt_tokens = 7

    def __init__(self, engine: "_Engine", index: int) -> None:
        self._engine = engine
        self._index = index

    async def __aiter__(self) -> AsyncIterator[TokenDelta]:
        for count, text in enumerate(self._engine.texts[self._index], start=1):
            await asyncio.sleep(0)
            if text == "crash":
                raise EngineCrashed("gone")
            self._engine.said.append((self._index, text))
            ended = count == len(self._engine.texts[self._index])
            yield TokenDelta(
                request_id=str(self._index),
                text=text,
                completion_tokens=count,
                finish_reason=FinishReason.STOP if ended else None,
            )


class _Engine:
    """As many rows as it is told; a choice waits until one is free."""

    def __init__(self, texts: list[list[str]], *, rows: int = 8, refuse: int | None = None) -> None:
        self.texts = texts
        self.free = asyncio.Semaphore(rows)
        self.said: list[tuple[int, str]] = []
        self.running: set[int] = set()
        self._refuse = refuse

    def open(self, index: int) -> AbstractAsyncContextManager[_Generation]:
        return self._open(index)

    @asynccontextmanager
    async def _open(self, index: int) -> AsyncGenerator[_Generation]:
        if index == self._refuse:
            raise QueueFull("full")
        async with self.free:
            self.running.add(index)
            try:
                yield _Generation(self, index)
            finally:
                self.running.discard(index)


async def _read(engine: _Engine) -> dict[int, str]:
    texts: dict[int, str] = dict.fromkeys(range(len(engine.texts)), "")
    async with run_choices(engine.open, len(engine.texts)) as choices:  # pyright: ignore[reportArgumentType] - the fake
        assert choices.prompt_tokens == 7
        async for index, delta in choices:
            texts[index] += delta.text
    return texts


async def test_each_choice_has_its_own_text() -> None:
    engine = _Engine([["a", "b"], ["c"], ["d", "e", "f"]])
    assert await _read(engine) == {0: "ab", 1: "c", 2: "def"}
    assert not engine.running


async def test_the_others_begin_with_the_first_ones_first_token() -> None:
    engine = _Engine([["a", "b"], ["c", "d"]])
    await _read(engine)
    assert engine.said[0] == (0, "a")


async def test_choices_that_wait_for_one_anothers_row_do_not_wait_for_ever() -> None:
    assert await asyncio.wait_for(_read(_Engine([["a"], ["b"], ["c"]], rows=1)), 5) == {0: "a", 1: "b", 2: "c"}


async def test_two_requests_with_more_choices_than_rows_both_end() -> None:
    engine = _Engine([["a"] * 5, ["b"] * 5, ["c"] * 5], rows=2)
    both = await asyncio.wait_for(asyncio.gather(_read(engine), _read(engine)), 5)
    assert both[0] == both[1] == {0: "aaaaa", 1: "bbbbb", 2: "ccccc"}


async def test_a_no_to_the_first_choice_is_raised_on_entering() -> None:
    with pytest.raises(QueueFull):
        await _read(_Engine([["a"], ["b"]], refuse=0))


async def test_an_error_of_one_choice_ends_all() -> None:
    engine = _Engine([["a"] * 50, ["b", "crash"], ["c"] * 50])
    with pytest.raises(EngineCrashed):
        await _read(engine)
    assert not engine.running


async def test_a_no_to_a_later_choice_ends_all() -> None:
    engine = _Engine([["a"] * 50, ["b"]], refuse=1)
    with pytest.raises(QueueFull):
        await _read(engine)
    assert not engine.running


async def test_leaving_early_frees_every_row() -> None:
    engine = _Engine([["a"] * 50, ["b"] * 50])
    async with run_choices(engine.open, 2) as choices:  # pyright: ignore[reportArgumentType] - the fake
        async for index, _ in choices:
            if index == 1:
                break
    assert not engine.running


async def test_each_prompt_counts_once_and_its_choices_share_it() -> None:
    engine = _Engine([["a"]] * 6)
    async with run_choices(engine.open, 6, prompts=3) as choices:  # pyright: ignore[reportArgumentType] - the fake
        assert {index async for index, _ in choices} == set(range(6))
        assert choices.prompt_tokens == 3 * _Generation.prompt_tokens


async def test_of_many_prompts_eight_run_or_wait_at_a_time_and_all_end() -> None:
    engine = _Engine([["a", "b"]] * 50, rows=100)
    most = 0
    ended: set[int] = set()
    async with run_choices(engine.open, 50, prompts=50) as choices:  # pyright: ignore[reportArgumentType] - the fake
        async for index, delta in choices:
            most = max(most, len(engine.running))
            ended |= {index} if delta.finish_reason else set()
    assert most == 8
    assert ended == set(range(50))


def test_the_first_choice_keeps_the_seed_and_the_others_have_seeds_of_their_own() -> None:
    asked = submit("", "hello", sampling=Sampling(seed=5))
    seeds = [choice_submit(asked, index, request_id=str(index)).sampling.seed for index in range(4)]
    assert seeds[0] == 5
    assert len(set(seeds)) == 4
    assert choice_submit(asked, 2, request_id="x").sampling.seed == seeds[2]
    assert derived_seed(5, 1) != derived_seed(6, 1)


def test_without_a_seed_no_choice_has_one() -> None:
    assert choice_submit(submit("", "hello", sampling=Sampling()), 3, request_id="3").sampling.seed is None
