"""The choices of one request: each is drawn by itself, on a row of its own, and they are read as one stream."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from gateway.fleet.attempt import Tap
from gateway.fleet.generation import Generation
from gateway.wire import Submit, TokenDelta

Open = Callable[[int], AbstractAsyncContextManager[Generation]]
"""Runs the choice of that index; entering waits for the engine's yes, leaving frees its row."""

_SEED_BITS = 63
_AT_ONCE = 8
"""Choices of one request that stand in line or hold rows: of many prompts the later come when earlier ones end."""


def choice_submit(submit: Submit, index: int, *, request_id: str) -> Submit:
    """Return what the engine runs for one choice. The first keeps the request's seed, so `n` does not change it."""
    seed = submit.sampling.seed
    if seed is not None and index > 0:
        seed = derived_seed(seed, index)
    return msgspec.structs.replace(
        submit, request_id=request_id, sampling=msgspec.structs.replace(submit.sampling, seed=seed)
    )


def derived_seed(seed: int, index: int) -> int:
    """Hashed, so that a choice of one seed is not the first choice of the next seed."""
    digest = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - _SEED_BITS)


class Choices:
    """Deltas of all choices, as they come, each with the index of its choice."""

    def __init__(self, open_choice: Open, count: int, *, prompts: int = 1) -> None:
        """Each of the prompts has as many choices, those of the first come first."""
        self.count = count
        self.prompt_tokens = 0
        """Of the prompts that have begun, each counted once for all choices that share it."""
        self._per_prompt = count // prompts
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._open = open_choice
        self._news: asyncio.Queue[tuple[int, TokenDelta] | Exception] = asyncio.Queue(maxsize=1)
        """Bounded: while the reader is slow, what a choice has to say merges into one delta behind it."""
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aiter__(self) -> AsyncIterator[tuple[int, TokenDelta]]:
        """Yield until each choice has had its finish reason; raise the first error of any.

        The others begin with the first choice's first token: its prompt is in the prefix cache then.
        """
        open_count = self.count
        while open_count:
            news = await self._news.get()
            if isinstance(news, Exception):
                raise news
            if len(self._tasks) < self.count:
                self._tasks += [asyncio.create_task(self._run(index)) for index in range(1, self.count)]
            yield news
            open_count -= news[1].finish_reason is not None

    async def begin(self) -> None:
        """Wait for the engine's yes to the first choice, or raise its no."""
        self._tasks.append(asyncio.create_task(self._run(0)))
        await self._accepted

    async def end(self) -> None:
        """Cancel what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, index: int) -> None:
        # Each choice leaves its row by itself: rows that wait for one another's choices would wait for ever.
        try:
            async with self._at_once, self._open(index) as generation:
                if index % self._per_prompt == 0:
                    self.prompt_tokens += generation.prompt_tokens
                if not self._accepted.done():
                    self._accepted.set_result(None)
                async for delta in generation:
                    await self._news.put((index, delta))
        except Exception as error:  # noqa: BLE001 - handed to whoever reads, in another task
            if self._accepted.done():
                await self._news.put(error)
            else:
                self._accepted.set_exception(error)


class OneChoice:
    """The deltas of a single choice, read without a task between."""

    def __init__(self, generation: Generation) -> None:
        self.prompt_tokens = generation.prompt_tokens
        self._generation = generation

    def set_tap(self, tap: Tap) -> None:
        """Have deltas taken as they come, where their reader waits: there is no other choice that they could pass."""
        self._generation.tap = tap

    async def __aiter__(self) -> AsyncIterator[tuple[int, TokenDelta]]:
        """Yield until the choice has had its finish reason; raise its error."""
        async for delta in self._generation:
            yield 0, delta


@asynccontextmanager
async def run_choices(open_choice: Open, count: int, *, prompts: int = 1) -> AsyncGenerator[Choices | OneChoice]:
    """Run `count` choices, as many of each prompt.

    Entering waits for the engine's yes to the first, leaving early cancels them.
    """
    if count == 1:
        async with open_choice(0) as generation:
            yield OneChoice(generation)
        return
    choices = Choices(open_choice, count, prompts=prompts)
    try:
        await choices.begin()
        yield choices
    finally:
        await choices.end()
