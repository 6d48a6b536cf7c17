"""What is measured, on which model, of whom, and what is to be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from tests.bench import measures, prompts
from tests.bench.bare import GapReference
from tests.bench.contenders import BareContender, Contender
from tests.bench.measures import Figures
from tests.bench.models import ModelKind
from tests.bench.workload import Workload

GATEWAY, MLX_SERVER, VLLM, BARE = "gateway", "mlx_lm.server", "vllm-mlx", "bare"
LITESTAR = "litestar"
"""The framework on its server, with nothing behind it."""
_SERVERS = (GATEWAY, MLX_SERVER, VLLM)
_ALL = (BARE, *_SERVERS)

ROWS = 64
"""Batch cap of every contender."""
_SETTLE_S = 2.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A bound on a figure of the gateway, or on its ratio to another contender's."""

    figure: str
    bound: Literal["at_least", "at_most"]
    value: float
    against: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of one contender."""

    contender: Contender
    bare: BareContender | None
    """For what only the limit can say."""
    quick: bool
    draw: str
    """Differs from repeat to repeat, so that no cache knows a prompt; contenders of one repeat get the same."""

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    model: ModelKind
    contenders: tuple[str, ...]
    measure: Callable[[Run], Awaitable[Figures]]
    targets: tuple[Target, ...]


def _streams(
    streams: int, requests: int, max_tokens: int, figures: Callable[..., Figures]
) -> Callable[[Run], Awaitable[Figures]]:
    async def measure(run: Run) -> Figures:
        workload = prompts.closed_loop(
            streams=run.size(streams, min(streams, 4)),
            requests=run.size(requests, min(requests, 8)),
            prompt_tokens=run.size(30, 8),
            max_tokens=(run.size(max_tokens, 6),),
            draw=run.draw,
        )
        return figures(await run.contender.run(workload))

    return measure


async def _one_stream(run: Run) -> Figures:
    """One request at a time; how fast it decodes is set beside the roofline."""
    workload = prompts.closed_loop(
        streams=1,
        requests=run.size(5, 2),
        prompt_tokens=run.size(30, 8),
        max_tokens=(run.size(32, 6),),
        draw=run.draw,
    )
    traces = await run.contender.run(workload)
    gap_s = measures.percentile(measures.gaps_s(measures.answered(traces)), 50)
    return {**measures.throughput(traces), "decode_tokens_per_s": 1 / gap_s}


async def _arrivals(run: Run) -> Figures:
    """Sixteen streams of different lengths: whenever one ends, another's prompt arrives."""
    workload = prompts.closed_loop(
        streams=run.size(16, 4),
        requests=run.size(48, 10),
        prompt_tokens=run.size(30, 8),
        max_tokens=(24, 40, 16, 48, 32) if not run.quick else (4, 8),
        draw=run.draw,
    )
    return measures.evenness(await run.contender.run(workload))


async def _conversations(run: Run) -> Figures:
    """Conversations of a few words under a long system prompt, turn after turn.

    A contender without a prefix cache computes every prompt whole, 44,000 tokens: on two cores that is minutes. What it
    takes cannot be made less without making another scenario of it, and the margins are wide, so one repeat will do.
    """
    workload = prompts.conversations(
        clients=run.size(8, 2),
        turns=run.size(5, 2),
        system_tokens=run.size(1000, 50),
        turn_tokens=run.size(20, 8),
        max_tokens=run.size(16, 4),
        draw=run.draw,
    )
    return measures.conversations(await run.contender.run(workload))


async def _http_layer(run: Run) -> Figures:
    workload = prompts.closed_loop(
        streams=run.size(64, 4), requests=run.size(256, 4), prompt_tokens=8, max_tokens=(1000,), draw=run.draw
    )
    before_s = run.contender.http_cpu_s()
    traces = await run.contender.run(workload)
    used_s = run.contender.http_cpu_s() - before_s
    chunks = sum(len(trace.delta_times_s) for trace in traces)
    return {
        "cpu_us_per_chunk": 1e6 * used_s / chunks if chunks else float("nan"),
        "chunks": chunks,
        "errors": measures.error_count(traces),
    }


async def _burst(run: Run) -> Figures:
    clients = run.size(300, 30)
    crowd = prompts.closed_loop(streams=clients, requests=clients, prompt_tokens=20, max_tokens=(8,), draw=run.draw)
    traces = await run.contender.run(crowd)
    await asyncio.sleep(_SETTLE_S if not run.quick else 0)
    single = prompts.closed_loop(streams=1, requests=1, prompt_tokens=20, max_tokens=(8,), draw=f"{run.draw}-after")
    return measures.burst(traces, await run.contender.run(single))


async def _beside_a_long_one(run: Run) -> Figures:
    """Fifteen short streams alone, and then as many beside one that holds a long context and decodes."""

    def short(draw: str) -> Workload:
        return prompts.closed_loop(
            streams=run.size(15, 3),
            requests=run.size(45, 6),
            prompt_tokens=20,
            max_tokens=(run.size(64, 6),),
            draw=f"{run.draw}-{draw}",
        )

    alone = await run.contender.run(short("alone"))
    long = prompts.beside(
        background=1,
        background_prompt=run.size(6000, 200),
        background_tokens=run.size(2000, 200),
        foreground=short("beside"),
        draw=run.draw,
    )
    beside = await run.contender.run(long)
    speed_alone, speed_beside = (measures.output_tokens_per_s(traces) for traces in (alone, beside))
    return {
        "tokens_per_s_alone": speed_alone,
        "tokens_per_s_beside": speed_beside,
        "beside_over_alone": speed_beside / speed_alone if speed_alone else float("nan"),
        "errors": measures.error_count([*alone, *beside]),
    }


async def _beside_evaluation(run: Run) -> Figures:
    """Four production streams alone, and then beside an evaluation that sends sixteen trials at once."""

    def production(draw: str) -> Workload:
        return prompts.closed_loop(
            streams=run.size(4, 2),
            requests=run.size(48, 4),
            prompt_tokens=30,
            max_tokens=(run.size(32, 6),),
            draw=f"{run.draw}-{draw}",
        )

    alone = await run.contender.run(production("alone"))
    beside = await run.contender.run(
        prompts.beside_evaluation(
            trials_at_once=run.size(16, 2),
            trials=run.size(1600, 40),
            foreground=production("beside"),
            draw=run.draw,
        )
    )
    first_alone, first_beside = (measures.first_token_times_s(measures.answered(traces)) for traces in (alone, beside))
    times_s = {
        "ttft_p50_alone_s": measures.percentile(first_alone, 50),
        "ttft_p50_beside_s": measures.percentile(first_beside, 50),
        "ttft_p95_alone_s": measures.percentile(first_alone, 95),
        "ttft_p95_beside_s": measures.percentile(first_beside, 95),
    }
    return {
        **times_s,
        "ttft_p50_beside_over_alone": times_s["ttft_p50_beside_s"] / times_s["ttft_p50_alone_s"],
        "ttft_p95_beside_over_alone": times_s["ttft_p95_beside_s"] / times_s["ttft_p95_alone_s"],
        "errors": measures.error_count([*alone, *beside]),
    }


async def _gap(run: Run) -> Figures:
    """Eight streams decode, and a long prompt arrives: the longest that any of the eight waits for its next token.

    It is set beside one decode step and one chunk of that prompt, its last, each alone. How large a chunk is shows in
    how many tokens a stream gets until the prompt is through: one for each.
    """
    rows, prompt_tokens = run.size(8, 2), run.size(4000, 600)
    arriving = prompts.closed_loop(streams=1, requests=1, prompt_tokens=prompt_tokens, max_tokens=(4,), draw=run.draw)
    workload = prompts.beside(
        background=rows,
        background_prompt=20,
        background_tokens=run.size(2000, 400),
        foreground=arriving,
        draw=run.draw,
    )
    traces = await run.contender.run(workload)
    behind = [trace for trace in traces if trace.background]
    (arrived,) = [trace for trace in traces if not trace.background]
    if run.bare is None or not arrived.delta_times_s:
        return {"errors": measures.error_count(traces)}
    gaps_s = [measures.gaps_within(trace, arrived.started_s, arrived.delta_times_s[0]) for trace in behind]
    longest_s = max(map(max, filter(None, gaps_s)), default=float("nan"))
    chunk_tokens = prompt_tokens // max(1, max(map(len, gaps_s), default=1))
    times = await run.bare.gap_times(GapReference(rows, prompt_tokens, max(1, chunk_tokens)))
    return {
        "gap_max_s": longest_s,
        "chunk_tokens": chunk_tokens,
        "step_and_chunk_s": times.decode_step_s + times.last_chunk_s,
        "gap_over_step_and_chunk": longest_s / (times.decode_step_s + times.last_chunk_s),
        "errors": measures.error_count(traces),
    }


def _at_least(value: float, figure: str, against: str | None = None) -> Target:
    return Target(figure=figure, bound="at_least", value=value, against=against)


def _at_most(value: float, figure: str, against: str | None = None) -> Target:
    return Target(figure=figure, bound="at_most", value=value, against=against)


_TOKENS = "output_tokens_per_s"
_NO_ERRORS = _at_most(0, "errors")

SCENARIOS = (
    Scenario(
        name="real-1",
        title="one stream",
        model=ModelKind.REAL,
        contenders=_SERVERS,
        measure=_one_stream,
        targets=(_at_most(1.05, "ttft_p50_s", MLX_SERVER), _NO_ERRORS),
    ),
    Scenario(
        name="real-16",
        title="16 streams",
        model=ModelKind.REAL,
        contenders=_ALL,
        measure=_streams(16, 32, 32, measures.throughput),
        targets=(_at_least(0.95, _TOKENS, BARE), _NO_ERRORS),
    ),
    Scenario(
        name="real-64",
        title="64 streams",
        model=ModelKind.REAL,
        contenders=_ALL,
        measure=_streams(64, 64, 32, measures.throughput),
        targets=(_at_least(0.95, _TOKENS, BARE), _NO_ERRORS),
    ),
    Scenario(
        name="real-arrivals",
        title="16 streams while prompts arrive",
        model=ModelKind.REAL,
        contenders=_ALL,
        measure=_arrivals,
        targets=(_at_most(1.6, "itl_p99_over_p50"), _NO_ERRORS),
    ),
    Scenario(
        name="real-conversations",
        title="8 conversations of 5 turns under one system prompt of 1,000 tokens",
        model=ModelKind.REAL,
        contenders=_ALL,
        measure=_conversations,
        targets=(
            _at_least(2.0, _TOKENS, BARE),
            _at_most(0.1, "ttft_later_turns_p50_s", BARE),
            _NO_ERRORS,
        ),
    ),
    Scenario(
        name="real-gap",
        title="8 streams while a prompt of 4,000 tokens arrives",
        model=ModelKind.REAL,
        contenders=_ALL,
        measure=_gap,
        targets=(_at_most(2.0, "gap_over_step_and_chunk"), _NO_ERRORS),
    ),
    Scenario(
        name="tiny-16",
        title="16 streams of a 2-layer llama, where overhead is everything",
        model=ModelKind.TINY,
        contenders=_ALL,
        measure=_streams(16, 96, 64, measures.throughput),
        targets=(
            _at_least(0.90, _TOKENS, BARE),
            _at_most(0.1, "ttft_p95_s", MLX_SERVER),
            _NO_ERRORS,
        ),
    ),
    Scenario(
        name="tiny-64",
        title="64 streams of a 2-layer llama",
        model=ModelKind.TINY,
        contenders=_ALL,
        measure=_streams(64, 192, 64, measures.throughput),
        targets=(_at_least(0.85, _TOKENS, BARE), _NO_ERRORS),
    ),
    Scenario(
        name="tiny-long",
        title="15 short streams beside one of 6,000 tokens",
        model=ModelKind.TINY,
        contenders=_ALL,
        measure=_beside_a_long_one,
        targets=(_at_least(0.8, "beside_over_alone"), _NO_ERRORS),
    ),
    Scenario(
        name="tiny-gap",
        title="8 streams while a prompt of 4,000 tokens arrives",
        model=ModelKind.TINY,
        contenders=_ALL,
        measure=_gap,
        targets=(_at_most(2.0, "gap_over_step_and_chunk"), _NO_ERRORS),
    ),
    Scenario(
        name="tiny-evaluation",
        title="4 production streams beside an evaluation of 16 trials at once",
        model=ModelKind.TINY,
        contenders=_SERVERS,
        measure=_beside_evaluation,
        targets=(_NO_ERRORS,),
    ),
    Scenario(
        name="tiny-burst",
        title="300 clients at once",
        model=ModelKind.TINY,
        contenders=_SERVERS,
        measure=_burst,
        targets=(
            _at_most(2.0, "refused_slowest_s"),
            _at_most(0, "refused_without_retry_after"),
            _at_most(0, "lost"),
            _at_most(0, "after_errors"),
        ),
    ),
    Scenario(
        name="http-layer",
        title="the HTTP layer alone, 64 streams of a scripted engine",
        model=ModelKind.SCRIPTED,
        contenders=(GATEWAY, LITESTAR),
        measure=_http_layer,
        # 25 us where the framework alone takes 20: what either takes is the machine's.
        targets=(_at_most(25, "cpu_us_per_chunk"), _at_most(1.25, "cpu_us_per_chunk", LITESTAR), _NO_ERRORS),
    ),
)
