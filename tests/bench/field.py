"""The contenders on the models, started once where they fit together, and their turns: A B A B, never A A B B."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import groupby
from pathlib import Path

import click
import psutil

from tests.bench import prompts
from tests.bench.contenders import BareContender, Contender, Unavailable, start
from tests.bench.measures import Figures
from tests.bench.models import directory
from tests.bench.results import ScenarioResult, summarise
from tests.bench.scenarios import ROWS, Run, Scenario

_RESIDENT_RATIO = 0.5
"""Of the machine's memory that the weights of all contenders may take to stay loaded side by side."""


class Field:
    def __init__(
        self,
        *,
        real: Path,
        quick: bool,
        repeats: int,
        only: frozenset[str],
        without: frozenset[str],
        scratch: Path,
    ) -> None:
        self._real = real
        self._quick = quick
        self._repeats = repeats
        self._only = only
        self._without = without
        self._scratch = scratch
        self._running: dict[str, Contender] = {}
        self._unavailable: dict[str, str] = {}

    async def measure(self, scenarios: Sequence[Scenario]) -> AsyncGenerator[ScenarioResult]:
        """Run the scenarios, those of one model together, and yield what came of each."""
        for model, group in groupby(scenarios, key=lambda scenario: directory(scenario.model, real=self._real)):
            self._unavailable.clear()
            try:
                for scenario in group:
                    yield await self._scenario(scenario, model)
            finally:
                await self._stop_all()

    async def _scenario(self, scenario: Scenario, model: Path) -> ScenarioResult:
        names = [name for name in scenario.contenders if self._takes_part(name)]
        resident = self._fit_together(model, len(names))
        runs: dict[str, list[Figures]] = {name: [] for name in names}
        if resident:
            await self._start(names, model)
        for repeat in range(self._repeats):
            for name in names:
                await self._start([name], model)
                if (contender := self._running.get(name)) is None:
                    continue
                _tell(f"{scenario.name}: {name}, {repeat + 1} of {self._repeats}")
                runs[name].append(await scenario.measure(self._run(contender, f"{scenario.name}-{repeat}")))
                if not resident:
                    await self._stop_all()
        return summarise(scenario, model.name, runs, self._missing(scenario.contenders))

    def _run(self, contender: Contender, draw: str) -> Run:
        bare = self._running.get("bare")
        return Run(
            contender=contender, bare=bare if isinstance(bare, BareContender) else None, quick=self._quick, draw=draw
        )

    async def _start(self, names: Iterable[str], model: Path) -> None:
        """Start and warm those that are not running, side by side, and note those that cannot take part."""

        async def start_one(name: str) -> None:
            try:
                contender = await start(name, model, max_rows=ROWS, scratch=self._scratch)
            except Unavailable as reason:
                self._unavailable[name] = str(reason)
                return
            self._running[name] = contender
            warm = prompts.closed_loop(streams=2, requests=2, prompt_tokens=8, max_tokens=(4,), draw="warm")
            await contender.run(warm)

        missing = [name for name in names if name not in self._running and name not in self._unavailable]
        await asyncio.gather(*map(start_one, missing))

    async def _stop_all(self) -> None:
        for contender in self._running.values():
            await contender.stop()
        self._running.clear()

    def _takes_part(self, name: str) -> bool:
        return name not in self._without and (not self._only or name in self._only)

    def _missing(self, names: Iterable[str]) -> dict[str, str]:
        return {
            name: self._unavailable.get(name, "left out of this run") for name in names if name not in self._took(names)
        }

    def _took(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if self._takes_part(name) and name not in self._unavailable}

    def _fit_together(self, model: Path, count: int) -> bool:
        weights_bytes = sum(file.stat().st_size for file in model.glob("*.safetensors"))
        return count * weights_bytes <= _RESIDENT_RATIO * psutil.virtual_memory().total


def _tell(what: str) -> None:
    click.echo(what, err=True)
