"""The limit: mlx-lm's BatchGenerator in a loop, with nothing around it.

`python -m tests.bench.bare MODEL` loads the model, prints a line, then answers each line of JSON on standard input
(a Job) with one on standard output.
"""

import sys
import time
from typing import Any

import mlx.core as mx
import msgspec
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import make_prompt_cache, trim_prompt_cache
from mlx_lm.utils import load

from tests.bench.workload import Client, Message, Trace, Workload, grown

_FILL_TOKENS = 512
"""The chunks before the last one, whose size changes nothing that is measured."""


class GapReference(msgspec.Struct, frozen=True, tag="gap_reference"):
    """Measure one decode step of `rows`, and the last chunk of a prompt alone at its context."""

    rows: int
    prompt_tokens: int
    chunk_tokens: int


class Run(msgspec.Struct, frozen=True, tag="run"):
    workload: Workload
    max_rows: int


Job = Run | GapReference


class GapTimes(msgspec.Struct, frozen=True):
    decode_step_s: float
    last_chunk_s: float


class _Conversation:
    """Where one client stands."""

    def __init__(self, index: int, client: Client) -> None:
        self.index = index
        self.client = client
        self.turn = -1
        self.messages: tuple[Message, ...] = ()
        self.tokens: list[int] = []
        self.trace: Trace | None = None


class BareLoop:
    """Runs workloads on one loaded model."""

    def __init__(self, model_path: str) -> None:
        self._model: Any
        self._tokenizer: Any
        self._model, self._tokenizer = load(model_path)[:2]

    def run(self, workload: Workload, max_rows: int) -> list[Trace]:
        """Run every client to its end; what a background client has not done by then is cut off."""
        stop_tokens = [[token] for token in self._tokenizer.eos_token_ids]
        generator: Any = BatchGenerator(self._model, stop_tokens=stop_tokens, completion_batch_size=max_rows)
        held: dict[int, _Conversation] = {}
        traces: list[Trace] = []
        waiting = [_Conversation(index, client) for index, client in enumerate(workload.clients)]
        background = [one for one in waiting if one.client.background]
        foreground = [one for one in waiting if not one.client.background]
        for one in background or foreground:
            self._next_turn(one, generator, held, traces)
        to_start = foreground if background else []
        while to_start or any(not one.client.background for one in held.values()):
            _, responses = generator.next()
            now_s = time.monotonic()
            for response in responses:
                self._take(response, now_s, generator, held, traces)
            if to_start and all(one.trace and one.trace.delta_times_s for one in background):
                for one in to_start:
                    self._next_turn(one, generator, held, traces)
                to_start = []
        for one in held.values():
            if one.trace is not None:
                one.trace.cut, one.trace.ended_s = True, time.monotonic()
        generator.close()
        return traces

    def gap_times(self, job: GapReference) -> GapTimes:
        """Return the medians of five of each."""
        prompt = mx.array([[token % 1000 for token in range(job.prompt_tokens)]])
        cache = make_prompt_cache(self._model)
        last = job.prompt_tokens - job.chunk_tokens
        for start in range(0, last, _FILL_TOKENS):
            self._model(prompt[:, start : min(start + _FILL_TOKENS, last)], cache=cache)
            _evaluate(cache)
        chunks: list[float] = []
        for _ in range(5):
            started_s = time.monotonic()
            self._model(prompt[:, last:], cache=cache)
            _evaluate(cache)
            chunks.append(time.monotonic() - started_s)
            trim_prompt_cache(cache, job.chunk_tokens)
        return GapTimes(decode_step_s=self._decode_step_s(job.rows), last_chunk_s=sorted(chunks)[2])

    def _decode_step_s(self, rows: int) -> float:
        generator: Any = BatchGenerator(self._model, completion_batch_size=rows)
        generator.insert([[row + 1] * 30 for row in range(rows)], max_tokens=[30] * rows)
        steps: list[float] = []
        while True:
            started_s = time.monotonic()
            _, responses = generator.next()
            if len(responses) == rows:
                steps.append(time.monotonic() - started_s)
            if any(response.finish_reason for response in responses):
                generator.close()
                return sorted(steps)[len(steps) // 2]

    def _next_turn(
        self, one: _Conversation, generator: Any, held: dict[int, _Conversation], traces: list[Trace]
    ) -> None:
        one.turn += 1
        if one.turn == len(one.client.turns):
            return
        turn = one.client.turns[one.turn]
        started_s = time.monotonic()
        # The templates and tokenizers of the servers are in their times, so they are in this one's too.
        one.messages = grown(one.messages, self._tokenizer.decode(one.tokens), turn)
        prompt = self._tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in one.messages],
            add_generation_prompt=True,
        )
        one.tokens = []
        one.trace = Trace(
            client=one.index, turn=one.turn, background=one.client.background, started_s=started_s, status=200
        )
        traces.append(one.trace)
        (uid,) = generator.insert([prompt], max_tokens=[turn.max_tokens])
        held[uid] = one

    def _take(
        self, response: Any, now_s: float, generator: Any, held: dict[int, _Conversation], traces: list[Trace]
    ) -> None:
        one = held[response.uid]
        if one.trace is None:
            return
        one.trace.delta_times_s.append(now_s)
        one.trace.completion_tokens += 1
        if response.finish_reason != "stop":
            one.tokens.append(response.token)
        if response.finish_reason:
            one.trace.ended_s = now_s
            del held[response.uid]
            self._next_turn(one, generator, held, traces)


def main() -> None:
    loop = BareLoop(sys.argv[1])
    _answer({"ready": True})
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Run | GapReference)
        if isinstance(job, Run):
            _answer(loop.run(job.workload, job.max_rows))
        else:
            _answer(loop.gap_times(job))


def _evaluate(cache: list[Any]) -> None:
    mx.eval([layer.state for layer in cache])  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments


def _answer(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
