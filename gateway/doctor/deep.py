"""What only a machine itself can show, checked through real engine processes on that machine.

    weights        quantised weights stay as they are stored, and take the memory that their files promise
    batching       requests decode together, and each is answered as it is alone
    cancellation   a row is free when its request is cancelled, and nothing is decoded for it any more
    swap_beside    an engine is exchanged for another that fits beside it, and no request is lost
    swap_in_turn   likewise where it does not fit: unload, see the memory back, load
    scoring        log-probabilities are those of a distribution, and of the one that answers are drawn from
    wired_limit    MLX keeps the weights wired, as far as the device recommends
    memory_guard   what does not fit is refused before it is begun, and what fits stays within the budget

A check returns its evidence, in numbers and short words; it raises Wrong where something is wrong, and NotRun where
this machine or model has nothing to show. Each has engines of its own, so that what one breaks spoils no other.
"""

import asyncio
import contextlib
import itertools
import math
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import psutil

from gateway.contracts.admin import EngineWork, SwapWay
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.jobs import LimitsRequest
from gateway.contracts.logprobs import TokenLogprob
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.scoring import TokenScore
from gateway.contracts.variants import EngineSpec
from gateway.doctor.machine import Probe
from gateway.errors import GatewayError, MemoryPressure
from gateway.fleet.blas import engine_environment
from gateway.fleet.budget import KV_BLOCK_TOKENS
from gateway.fleet.engine import Engine
from gateway.fleet.failure import Failure
from gateway.fleet.fleet import Fleet
from gateway.fleet.jobs import run_job, unwatched
from gateway.fleet.line import Claim, Rerouted
from gateway.fleet.memory import MachineMemory
from gateway.fleet.swap import Order, Swap, unobserved
from gateway.server import blas_of
from gateway.settings import GIB, MIB, Settings
from gateway.telemetry.metrics import Metrics
from gateway.wire import Sampling, Score, Submit, WireMessage

Evidence = dict[str, bool | float | int | str]
T = TypeVar("T")

_PROMPTS = (
    "Count from one to one hundred in words.",
    "Name the months of the year, and say a sentence about each.",
    "Tell a story of a lighthouse and of the people who keep it.",
    "Explain how bread is made, from the field to the table.",
)
_LONG_PROMPT = "List the whole numbers from one to one thousand."
_ANSWER_TOKENS = 48
_OVERLAPPING_TOKENS = (192, 768)
"""Asked for where requests did not overlap: on a busy machine a small model ends one answer before the next begins."""
_LONG_ANSWER_TOKENS = 2000
_SHORT_ANSWER_TOKENS = 12
_LONGEST_ROW_TOKENS = 4096
"""That the budget of the memory guard holds."""
_MIN_MEAN_ROWS = 1.5
"""Of four requests sent at once. They come one after another, and may end so."""
_MAX_LOGPROB_SHIFT = 0.5
"""Between two ways to compute one log-probability in half precision. An error of ours is larger by far."""
_MASS_TOLERANCE = 0.01
_RELEASE_LIMIT_S = 60.0
"""On a machine that may do a great deal else."""
_POLL_S = 0.02
_MAX_WEIGHTS_RATIO = 1.1
_WEIGHTS_SLACK_BYTES = 64 * MIB
"""Buffers that a load leaves beside the weights, however small these are."""
_ASKERS = 2
_JOB_TIMEOUT_S = 60.0


class Wrong(Exception):
    """The check has found something wrong; the text says what."""


class NotRun(Exception):
    """There is nothing to check here; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What is examined."""

    engine: EngineSpec
    settings: Settings
    """Its state directory is a temporary one: nothing here touches a gateway's."""
    probe: Probe

    @property
    def has_metal(self) -> bool:
        return self.probe.device == "metal"


Check = Callable[[Patient], Awaitable[Evidence]]


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    tokens: int
    finish_reason: FinishReason | None
    text: str
    logprobs: tuple[TokenLogprob, ...]


class _Bench:
    """A fleet for one check, and the requests that are sent to it."""

    def __init__(self, patient: Patient, settings: Settings) -> None:
        self.failures: list[Failure] = []
        self.fleet = Fleet(
            settings,
            environ=engine_environment(os.environ, blas_of(settings.engine)),
            on_failure=lambda _spec, failure: self.failures.append(failure),
            metrics=Metrics(),
        )
        self._numbers = itertools.count(1)
        self._patient = patient

    async def engine(self) -> Engine:
        return await self.fleet.ensure(self._patient.engine)

    async def work(self) -> EngineWork:
        return (await self.engine()).view(variants=(), predicted_bytes=0).work

    def submit(self, prompt: str, *, max_tokens: int, logprobs: bool = False) -> Submit:
        """Return a greedy request that is computed from its first token on, whatever was asked before."""
        return Submit(
            request_id=f"doctor-{next(self._numbers)}",
            messages=(WireMessage(role="user", content=prompt),),
            template_arguments={},
            max_completion_tokens=max_tokens,
            completion_limit=None,
            stop=(),
            sampling=Sampling(temperature=0.0),
            top_logprobs=0 if logprobs else None,
            prefix_cache=False,
        )

    async def answer(
        self,
        prompt: str,
        *,
        max_tokens: int = _ANSWER_TOKENS,
        logprobs: bool = False,
        engine: EngineSpec | None = None,
        claim: Claim | None = None,
    ) -> _Answer:
        """Return a whole answer. Raises GatewayError, and Wrong where it has no end."""
        request = self.submit(prompt, max_tokens=max_tokens, logprobs=logprobs)
        async with self.fleet.generate(
            engine or self._patient.engine, request, SchedulingClass.INTERACTIVE, claim=claim
        ) as generation:
            deltas = [delta async for delta in generation]
        answer = _Answer(
            tokens=deltas[-1].completion_tokens if deltas else 0,
            finish_reason=deltas[-1].finish_reason if deltas else None,
            text="".join(delta.text for delta in deltas),
            logprobs=tuple(entry for delta in deltas for entry in delta.logprobs),
        )
        if answer.finish_reason is None or not 1 <= answer.tokens <= max_tokens:
            raise Wrong(f"an answer ended after {answer.tokens} of at most {max_tokens} tokens, without a reason")
        return answer

    async def scores(self, *messages: WireMessage) -> tuple[TokenScore, ...]:
        request = Score(
            request_id=f"doctor-{next(self._numbers)}", tokens=None, messages=messages, template_arguments={}, top_k=8
        )
        async with self.fleet.generate(self._patient.engine, request, SchedulingClass.EVALUATION) as generation:
            return await generation.scores()


@asynccontextmanager
async def _bench(patient: Patient, settings: Settings | None = None) -> AsyncGenerator[_Bench]:
    """Give a bench with its engine loaded. Raises Wrong where a process failed meanwhile, whatever came of it."""
    bench = _Bench(patient, settings or patient.settings)
    try:
        await bench.engine()
        yield bench
    finally:
        await bench.fleet.close()
    if bench.failures:
        raise Wrong(f"an engine failed: {bench.failures[0].reason}. {bench.failures[0].sentence}")


async def weights(patient: Patient) -> Evidence:
    if not patient.has_metal:
        raise NotRun("no Metal: the engine dequantises weights at load")
    async with _bench(patient) as bench:
        ready = (await bench.engine()).ready
    if ready is None:
        raise Wrong("the engine is loaded, and has not said what")
    evidence: Evidence = {
        "device": ready.device,
        "dequantised": ready.dequantised,
        "load_time_s": round(ready.load_time_s, 3),
        "stored_bytes": patient.engine.weights_bytes,
        "active_after_load_bytes": ready.active_after_load_bytes,
    }
    if ready.device != "metal":
        raise Wrong(f"the engine runs on {ready.device}, and the device is metal")
    if ready.dequantised:
        raise Wrong("the engine has dequantised the weights, although there is Metal")
    if ready.active_after_load_bytes > _MAX_WEIGHTS_RATIO * patient.engine.weights_bytes + _WEIGHTS_SLACK_BYTES:
        raise Wrong(
            f"{ready.active_after_load_bytes} bytes are active after the load of {patient.engine.weights_bytes}"
        )
    return evidence


async def batching(patient: Patient) -> Evidence:
    if patient.engine.one_at_a_time:
        raise NotRun("the engine serves one request at a time: mlx-lm batches neither a draft nor a quantised cache")
    async with _bench(patient) as bench:
        alone = [await bench.answer(prompt, logprobs=True) for prompt in _PROMPTS]
        together, mean_rows = await _at_once(bench, _ANSWER_TOKENS)
        for max_tokens in _OVERLAPPING_TOKENS:
            if mean_rows < _MIN_MEAN_ROWS:
                together, mean_rows = await _at_once(bench, min(max_tokens, patient.engine.context_length // 2))
    shifts = [
        abs(one.logprobs[0].logprob - other.logprobs[0].logprob)
        for one, other in zip(alone, together, strict=True)
        if one.logprobs and other.logprobs
    ]
    if mean_rows < _MIN_MEAN_ROWS:
        raise Wrong(f"{len(_PROMPTS)} requests at once were decoded {mean_rows:.2f} at a time")
    if max(shifts, default=0.0) > _MAX_LOGPROB_SHIFT:
        raise Wrong(f"a first token is {max(shifts):.3f} likelier or less likely, in logarithms, than it is alone")
    return {
        "requests": len(_PROMPTS),
        "mean_rows": round(mean_rows, 2),
        "first_tokens_compared": len(shifts),
        "largest_logprob_shift": round(max(shifts, default=0.0), 5),
        "equal_answers": sum(other.text.startswith(one.text) for one, other in zip(alone, together, strict=True)),
    }


async def cancellation(patient: Patient) -> Evidence:
    async with _bench(patient) as bench:
        engine = await bench.engine()
        neighbour = asyncio.create_task(bench.answer(_PROMPTS[0]))
        try:
            cancelled_at = await _cancelled(bench, patient)
            await neighbour
        finally:
            neighbour.cancel()
        started_s = time.monotonic()
        await _come(
            lambda: engine.view(variants=(), predicted_bytes=0).rows == 0, "the row of a cancelled request is not free"
        )
        freed_s = time.monotonic() - started_s
        before = await bench.work()
        last = await bench.answer(_PROMPTS[1])
        decoded = (await bench.work()).decoded_tokens - before.decoded_tokens
    if decoded > last.tokens:
        raise Wrong(f"{decoded} tokens were decoded for an answer of {last.tokens}: a cancelled request decodes on")
    return {"cancelled_after_tokens": cancelled_at, "row_free_s": round(freed_s, 3), "answered_after": last.tokens}


async def swap_beside(patient: Patient) -> Evidence:
    async with _bench(patient) as bench:
        if not bench.fleet.fits(_other(patient.engine)):
            raise NotRun("two engines of this model do not fit the memory")
        return await _exchange(bench, patient, SwapWay.BESIDE)


async def swap_in_turn(patient: Patient) -> Evidence:
    """On a machine that has memory for two, with a limit that one fits and two do not."""
    async with _bench(patient, _limited(patient, engines_count=1.5)) as bench:
        return await _exchange(bench, patient, SwapWay.IN_TURN)


async def scoring(patient: Patient) -> Evidence:
    async with _bench(patient) as bench:
        answer = await bench.answer(_PROMPTS[0], max_tokens=_SHORT_ANSWER_TOKENS, logprobs=True)
        question = WireMessage(role="user", content=_PROMPTS[0])
        whole = await bench.scores(question)
        scored = await bench.scores(question, WireMessage(role="assistant", content=answer.text)) if answer.text else ()
    if not whole:
        raise Wrong("a conversation got no scores")
    for position in (*whole, *scored):
        _check_position(position)
    # The answer's text may be tokenised in another way than it was generated; from there on nothing is comparable.
    pairs = list(
        itertools.takewhile(lambda pair: pair[0].token == pair[1].text, zip(answer.logprobs, scored, strict=False))
    )
    shift = max((abs(drawn.logprob - score.logprob) for drawn, score in pairs), default=0.0)
    if shift > _MAX_LOGPROB_SHIFT:
        raise Wrong(f"a token of an answer is scored {shift:.3f} away, in logarithms, from what it was drawn with")
    return {
        "positions": len(whole) + len(scored),
        "compared_with_answer": len(pairs),
        "largest_logprob_shift": round(shift, 5),
    }


async def wired_limit(patient: Patient) -> Evidence:
    if not patient.has_metal:
        raise NotRun("no Metal: there is no wired limit")
    return await wired_limit_by(patient, read_limits)


async def memory_guard(patient: Patient) -> Evidence:
    engine = patient.engine
    longest = max(1, min(engine.context_length // 2, _LONGEST_ROW_TOKENS))
    limited = _limited(patient, engines_count=1.0, kv_floor_tokens=longest)
    async with _bench(patient, limited) as bench:
        loaded = await bench.engine()
        too_large = msgspec.structs.replace(
            _other(engine), weights_bytes=limited.memory.recommended_working_set_bytes or 0
        )
        if not await _refused(bench.fleet.ensure(too_large)):
            raise Wrong("an engine larger than the memory was loaded")
        longer = bench.answer(_LONG_PROMPT, max_tokens=2 * longest - longest // 4)
        refused_request = await _refused(longer)
        if not refused_request and longest > 2 * KV_BLOCK_TOKENS:
            raise Wrong("a request longer than the memory holds was begun")
        await _together([bench.answer(prompt) for prompt in _PROMPTS])
        peak_bytes, limit_bytes = loaded.memory.peak_bytes, bench.fleet.memory.machine.limit_bytes
    if peak_bytes > limit_bytes:
        raise Wrong(f"{peak_bytes} bytes were active at the peak, and the budget is {limit_bytes}")
    return {"peak_bytes": peak_bytes, "budget_bytes": limit_bytes, "refused_request": refused_request}


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        weights,
        batching,
        cancellation,
        swap_beside,
        swap_in_turn,
        scoring,
        wired_limit,
        memory_guard,
    )
}
"""In the order in which they are run."""


# --- what they are made of ---


async def _together(answers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all; where one raises, end the others."""
    tasks = [asyncio.ensure_future(answer) for answer in answers]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _at_once(bench: _Bench, max_tokens: int) -> tuple[list[_Answer], float]:
    """Ask all prompts together; return the answers, and how many rows a step decoded in the mean."""
    before = await bench.work()
    answers = await _together([bench.answer(prompt, max_tokens=max_tokens, logprobs=True) for prompt in _PROMPTS])
    after = await bench.work()
    steps, tokens = after.decode_steps - before.decode_steps, after.decoded_tokens - before.decoded_tokens
    return answers, tokens / max(1, steps)


async def _come(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(_RELEASE_LIMIT_S):
            while not condition():  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise Wrong(f"{what} after {_RELEASE_LIMIT_S:g} s") from None


def _any_done(tasks: Sequence[asyncio.Task[None]]) -> bool:
    return any(task.done() for task in tasks)


async def _cancelled(bench: _Bench, patient: Patient) -> int:
    """Begin a long answer, leave it after its first tokens, and return how many these were."""
    limit = max(1, min(_LONG_ANSWER_TOKENS, patient.engine.context_length // 2))
    request = bench.submit(_LONG_PROMPT, max_tokens=limit)
    async with bench.fleet.generate(patient.engine, request, SchedulingClass.INTERACTIVE) as generation:
        async for delta in generation:
            if delta.finish_reason is not None:
                raise NotRun("the model ends its answer before it can be cancelled")
            return delta.completion_tokens
    raise Wrong("an answer ended without a token")


def _other(engine: EngineSpec) -> EngineSpec:
    """Return an engine of the same files that is another one."""
    return msgspec.structs.replace(engine, context_length=max(engine.context_length - 1, 1))


def _limited(patient: Patient, *, engines_count: float, kv_floor_tokens: int | None = None) -> Settings:
    """Return the settings with memory for so many engines of this kind.

    They have no prefix cache, whose size follows from what there is.
    """
    settings = patient.settings
    memory = settings.memory
    if kv_floor_tokens is not None:
        memory = msgspec.structs.replace(memory, kv_floor_tokens=kv_floor_tokens)
    engine = msgspec.structs.replace(settings.engine, prefix_cache_bytes=0)
    settings = msgspec.structs.replace(settings, memory=memory, engine=engine)
    held_bytes = MachineMemory(settings).holding(patient.engine, None).held_bytes
    limit_bytes = round(engines_count * held_bytes) + memory.reserve_bytes
    return msgspec.structs.replace(
        settings, memory=msgspec.structs.replace(memory, recommended_working_set_bytes=limit_bytes)
    )


class _Routes:
    """Which engine answers now: what the service's table of deployments is to the gateway."""

    def __init__(self, engine: EngineSpec) -> None:
        self.engine = engine
        self.answered = 0
        self.longest_s = 0.0

    async def ask_on(self, bench: _Bench, first: int) -> None:
        """Ask for one short answer after another, until cancelled. Raises what a client would see."""
        for prompt in itertools.cycle((*_PROMPTS[first:], *_PROMPTS[:first])):
            started_s, claim = time.monotonic(), Claim(movable=True)
            while True:
                with contextlib.suppress(Rerouted):
                    await bench.answer(prompt, max_tokens=_SHORT_ANSWER_TOKENS, engine=self.engine, claim=claim)
                    break
            self.answered += 1
            self.longest_s = max(self.longest_s, time.monotonic() - started_s)


async def _exchange(bench: _Bench, patient: Patient, way: SwapWay) -> Evidence:
    old, new = patient.engine, _other(patient.engine)
    old_pid = (await bench.engine()).pid
    routes = _Routes(old)
    order = Order(
        old=old,
        new=new,
        served=frozenset({old.digest}),
        old_stays=False,
        cut_streams=False,
        warm_up=bench.submit(_PROMPTS[0], max_tokens=_SHORT_ANSWER_TOKENS),
        check=lambda engine: _check_identity(engine, new),
    )
    swap = Swap(bench.fleet, order, patient.settings.swap, at=unobserved)
    askers = [asyncio.create_task(routes.ask_on(bench, number)) for number in range(_ASKERS)]
    try:
        async with swap.carried_out():
            routes.engine = new
        before = routes.answered
        await _come(lambda: routes.answered > before or _any_done(askers), "the new engine has answered nothing")
        await _come(lambda: bench.fleet.find(old) is None or _any_done(askers), "the old engine is not unloaded")
    finally:
        for asker in askers:
            asker.cancel()
        ends = await asyncio.gather(*askers, return_exceptions=True)
    lost = [end for end in ends if not isinstance(end, asyncio.CancelledError)]
    if lost:
        raise Wrong(f"a request was lost during the swap: {_words(lost[0])}")
    if swap.way is not way:
        raise Wrong(f"the engines were exchanged {swap.way}, and should have been {way}")
    if old_pid is not None and psutil.pid_exists(old_pid):
        raise Wrong("the old engine's process lives on")
    return {
        "way": swap.way.value,
        "answered": routes.answered,
        "longest_answer_s": round(routes.longest_s, 3),
        "load_s": round(swap.load_s, 3),
        "gap_s": round(swap.gap_s, 3),
    }


async def _check_identity(engine: Engine, expected: EngineSpec) -> None:
    """Have the process itself say what it holds; the content of its files is known to nobody here."""
    identity = await engine.identify(_RELEASE_LIMIT_S)
    if identity.spec.digest != expected.digest:
        raise Wrong("the new process holds another engine than it was started for")


def _check_position(position: TokenScore) -> None:
    logprobs = [top.logprob for top in position.top]
    mass = sum(map(math.exp, logprobs)) + position.tail_mass
    if not (math.isfinite(position.logprob) and position.logprob <= _MASS_TOLERANCE):
        raise Wrong(f"a token is scored {position.logprob}, which is no log-probability")
    if logprobs != sorted(logprobs, reverse=True):
        raise Wrong("the likeliest tokens are not in order")
    if abs(mass - 1.0) > _MASS_TOLERANCE:
        raise Wrong(f"the probabilities at a position sum to {mass:.4f}")
    if any(
        top.token == position.token and abs(top.logprob - position.logprob) > _MASS_TOLERANCE for top in position.top
    ):
        raise Wrong("a token has two scores at one position")


class _Limits(msgspec.Struct, frozen=True):
    """What a process reads back that has set its limits as an engine does."""

    recommended_working_set_bytes: int | None
    wired_bytes: int
    memory_bytes: int


ReadLimits = Callable[[LimitsRequest], Awaitable[dict[str, object]]]


async def read_limits(request: LimitsRequest) -> dict[str, object]:
    return await run_job("gateway.engine.limits", request, on_progress=unwatched, timeout_s=_JOB_TIMEOUT_S)


async def wired_limit_by(patient: Patient, read_limits: ReadLimits) -> Evidence:
    memory_bytes = MachineMemory(patient.settings).share(patient.engine).memory_limit_bytes
    request = LimitsRequest(
        cache_limit_bytes=patient.settings.engine.cache_limit_bytes, memory_limit_bytes=max(memory_bytes, GIB)
    )
    limits = msgspec.convert(await read_limits(request), _Limits)
    recommended = limits.recommended_working_set_bytes
    if not recommended:
        raise Wrong("the device recommends no working set, so nothing is wired")
    if limits.wired_bytes != recommended:
        raise Wrong(f"{limits.wired_bytes} bytes may be wired, and {recommended} are recommended and were asked for")
    if limits.memory_bytes != request.memory_limit_bytes:
        raise Wrong(f"MLX's memory limit is {limits.memory_bytes}, and {request.memory_limit_bytes} was set")
    return {"recommended_bytes": recommended, "wired_bytes": limits.wired_bytes, "memory_bytes": limits.memory_bytes}


async def _refused(work: Awaitable[object]) -> bool:
    """Say whether it was refused for want of memory, and as what it was."""
    try:
        await work
    except MemoryPressure as error:
        return error.code is ErrorCode.MEMORY_PRESSURE
    return False


def _words(end: object) -> str:
    """Return what may be told of an error: its code, or its kind. A message may quote a request."""
    if isinstance(end, Wrong):
        return str(end)
    return end.code.value if isinstance(end, GatewayError) else type(end).__name__
