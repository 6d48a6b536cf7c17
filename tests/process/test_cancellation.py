"""Who leaves, at whatever moment, leaves nothing behind: a state machine over a fleet with a scripted engine."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,  # pyright: ignore[reportUnknownVariableType] - hypothesis does not type its settings
)

from gateway.contracts.admin import EngineState, PrefixCacheCounts
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import EngineCrashed
from gateway.fleet.engine import Engine
from gateway.fleet.generation import Terms
from gateway.settings import EngineSettings
from gateway.telemetry.declarations import Declarations
from gateway.telemetry.engines import EngineMetrics
from gateway.telemetry.metrics import Metrics
from gateway.wire import Score, Step
from tests.support.fleets import Bench, fleet_of, pid_of, running, spec_of, until
from tests.support.scripted_model import write_scripted_model

WEIGHTS_BYTES = 4096
SCRIPT = f"""
weights_bytes = {WEIGHTS_BYTES}
kv_bytes_per_token = 16
default_text = "A short answer."
step_delay_s = 0.001
[[answers]]
match = "slowly"
text = "{"It goes on for long. " * 40}"
"""
MAX_ROWS = 3
_numbers = itertools.count()
STEPS_TO_LEAVE = 3
"""One message may be under way when somebody leaves, one step be computed; the third has no trace of the row."""


class StepLog(EngineMetrics):
    """Keeps the rows of each step that an engine tells."""

    def __init__(self) -> None:
        super().__init__(Declarations())
        self.rows: list[int] = []

    def stepped(self, step: Step, *, before: PrefixCacheCounts) -> None:
        super().stepped(step, before=before)
        self.rows.append(step.rows)


class World(NamedTuple):
    """What all runs of the state machine share: an engine's start takes long."""

    runner: asyncio.Runner
    bench: Bench
    log: StepLog
    engine: Engine


class Leaving(RuleBasedStateMachine):
    world: World

    def __init__(self) -> None:
        super().__init__()
        self._runner, self._bench, self._log, self._engine = self.world
        self._clients: list[asyncio.Task[object]] = []
        self._ends: Counter[asyncio.Task[object]] = Counter()
        self._has_crashed = False

    @rule(text=st.sampled_from(["briefly", "slowly"]), whole=st.booleans(), again=st.booleans())
    def ask(self, text: str, *, whole: bool, again: bool) -> None:
        terms = Terms(whole=whole, runs_again=again)
        # Each with its own text: two crashes under one would have it refused from then on.
        self._come(self._bench.answer(self._engine.spec, f"{text} {next(_numbers)}", terms=terms))

    @rule()
    def score(self) -> None:
        self._come(self._scored())

    @rule(turns=st.integers(0, 5))
    def let_pass(self, turns: int) -> None:
        """Turns of the event loop: between them lies every moment of a request in this process."""

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self._run(turn())

    @rule()
    def let_step(self) -> None:
        """Wait until the engine has said something, where it has anything to say."""

        async def step() -> None:
            before = len(self._log.rows)
            await until(lambda: len(self._log.rows) > before or not running(self._engine))

        self._run(step())

    @precondition(lambda self: self._clients)
    @rule()
    def leave_first(self) -> None:
        """Most likely it runs."""
        self._run(self._left(self._clients.pop(0)))

    @precondition(lambda self: self._clients)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client = self._clients.pop(data.draw(st.integers(0, len(self._clients) - 1)))
        self._run(self._left(client))

    @precondition(lambda self: not self._has_crashed)
    @rule()
    def crash(self) -> None:
        self._has_crashed = True
        os.kill(pid_of(self._engine), signal.SIGKILL)

    @invariant()
    def nobody_is_in_line_who_is_not_here(self) -> None:
        admission = self._engine.line.admission
        here = sum(not client.done() for client in self._clients)
        assert admission.running_count + admission.waiting_count <= here
        assert admission.running_count <= MAX_ROWS
        assert max(self._log.rows[-STEPS_TO_LEAVE:], default=0) <= MAX_ROWS

    def teardown(self) -> None:
        async def end() -> None:
            async with asyncio.timeout(30):
                results = await asyncio.gather(*self._clients, return_exceptions=True)
            assert {type(result) for result in results} <= {str, int, EngineCrashed}
            assert set(self._ends.values()) <= {1}
            assert running(self._engine) == self._engine.line.admission.waiting_count == 0
            # What the engine last said is of a step without any row: it holds its weights and nothing else.
            await until(lambda: self._engine.state is EngineState.READY)
            await self._bench.answer(self._engine.spec, f"briefly {next(_numbers)}")
            await until(lambda: self._engine.memory.active_bytes == WEIGHTS_BYTES)

        self._run(end())

    def _come(self, request: Coroutine[Any, Any, object]) -> None:
        async def come() -> asyncio.Task[object]:
            return asyncio.create_task(request)

        client = self._runner.run(come())
        client.add_done_callback(lambda task: self._ends.update([task]))
        self._clients.append(client)

    async def _left(self, client: asyncio.Task[object]) -> None:
        """Have a client leave; its row is free at once, and the engine has dropped it a step later."""
        pid = self._engine.pid
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
        limit = min(MAX_ROWS, sum(not client.done() for client in self._clients))
        assert running(self._engine) <= limit
        with contextlib.suppress(EngineCrashed):
            # Asked behind the cancellation: what comes before the answer was said before that.
            await self._engine.identify(30)
        before = len(self._log.rows)

        def freed() -> bool:
            return self._engine.pid != pid or pid is None or not self._log.rows or self._log.rows[-1] <= limit

        await until(freed)
        if pid is not None and self._engine.pid == pid:
            over = [rows for rows in self._log.rows[before:] if rows > limit]
            assert len(over) <= STEPS_TO_LEAVE

    async def _scored(self) -> int:
        number = next(_numbers)
        tokens = (65,) * (40 + number)
        score = Score(request_id=f"s{number}", tokens=tokens, messages=(), template_arguments={}, top_k=1)
        async with self._bench.fleet.generate(self._engine.spec, score, SchedulingClass.EVALUATION) as generation:
            return len(await generation.scores())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._runner.run(work)


def test_who_leaves_at_any_moment_leaves_nothing_behind(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", SCRIPT)
    log, metrics = StepLog(), Metrics()
    metrics.engines = log
    quick = EngineSettings(
        restart_backoff_initial_s=0.01, stop_timeout_s=1, breaker_failures=1000, score_chunk_tokens=8
    )
    with asyncio.Runner() as runner:
        context = fleet_of(tmp_path, engine=quick, metrics=metrics)
        bench = runner.run(context.__aenter__())
        try:
            engine = runner.run(bench.fleet.ensure(spec_of(model, max_rows=MAX_ROWS)))

            class Case(Leaving):
                world = World(runner, bench, log, engine)

            run_state_machine_as_test(
                Case,
                settings=settings(
                    max_examples=12,
                    stateful_step_count=16,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                    database=None,
                ),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))
