"""What `canary evaluate` measures apart from its trials, on scripted engines behind a real gateway."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from canary.cli import run
from canary.client import GatewayClient
from canary.errors import ExitCode
from canary.judge import judge, same_judgement
from gateway.contracts.evaluations import CriterionResult, Evaluation, Outcome
from gateway.settings import EngineSettings, Settings
from tests.support.fleets import PATIENCE_S
from tests.support.mini_suite import write_mini_suite
from tests.support.programs import wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, held_rows, serving

ANSWER = 'default_text = "4 it is."\nkv_bytes_per_token = 1000\nweights_bytes = 1_000_000\n'
MODELS = {
    "incumbent": f"{ANSWER}step_delay_s = 0.004",
    "twin": f"{ANSWER}step_delay_s = 0.004\ncontext_length = 4096",
    "slow": f"{ANSWER}step_delay_s = 0.02",
    "leaky": f"{ANSWER}leak_bytes_per_request = 200_000",
    "short": f"{ANSWER}context_length = 1000",
    "busy": f'default_text = "{"never done " * 200}"\nstep_delay_s = 0.05',
}
LATENCY = """
[protocol.latency]
cycles = {cycles}
prompts_per_cycle = 2
output_tokens = 6
concurrency = {concurrency}
[[criteria]]
name = "no_slower"
metric = "end_to_end_s"
rule = "no_worse_than"
statistic = "ratio"
bound = 0.1
"""
MEMORY = """
[protocol.memory]
context_tokens = 2000
repeats = 20
[[criteria]]
name = "swap"
metric = "swap_growth_bytes"
rule = "at_most"
bound = 0
required = false
"""
CHAT = {"model": "busy", "messages": [{"role": "user", "content": "?"}], "stream": True}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    for name, script in MODELS.items():
        write_scripted_model(home / name, script)
    return home


@pytest.fixture(scope="module")
def served(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    state_dir = str(tmp_path_factory.mktemp("state"))
    settings = Settings(state_dir=state_dir, engine=EngineSettings(max_rows=8, stop_timeout_s=1))
    with serving(settings, [models / "incumbent", models / "busy"]) as gateway:
        yield gateway


@dataclass(frozen=True)
class Run:
    status: int
    evaluation: Evaluation

    def result(self, candidate: str, criterion: str) -> CriterionResult:
        """Return what a candidate was found to be by one criterion."""
        names = [system.variant.name for system in self.evaluation.candidates]
        judgement = self.evaluation.judgements[names.index(candidate)]
        return next(each for each in judgement.results if each.criterion.name == criterion)


def evaluate(
    served: Served, candidates: Sequence[Path], tmp_path: Path, protocol: str, *flags: str, cases: int = 4
) -> Run:
    """Run the command and return its exit status and what it recorded."""
    suite = write_mini_suite(tmp_path, count=cases)
    with (suite / "suite.toml").open("a") as file:
        file.write(protocol)
    arguments = ["evaluate", *map(str, candidates), "--suite", str(suite), "--for", "incumbent"]
    status = run([*arguments, "--gateway", served.url, *flags])
    with GatewayClient(served.url) as gateway:
        return Run(status, gateway.evaluation(gateway.evaluations()[0].id))


@contextmanager
def in_production(served: Served, count: int) -> Generator[None]:
    """Keep so many requests of somebody else's running on another engine."""
    with httpx.Client(base_url=served.url, timeout=PATIENCE_S) as client:
        started = threading.Barrier(count + 1, timeout=PATIENCE_S)
        ended = threading.Event()

        def ask() -> None:
            with client.stream("POST", "/v1/chat/completions", json=CHAT) as response:
                lines = response.iter_lines()  # kept: with it goes the connection
                next(lines)
                started.wait()
                ended.wait(PATIENCE_S)

        threads = [threading.Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            started.wait()
            assert held_rows(client, served.references["busy"]) == count
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join(PATIENCE_S)
            # The next test asks that nobody else runs.
            wait_until(lambda: held_rows(client, served.references["busy"]) == 0)


def test_a_slower_candidate_is_failed_by_the_ratio_of_pairs(
    served: Served, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = LATENCY.format(cycles=5, concurrency=2)
    found = evaluate(served, [models / "slow"], tmp_path, protocol)
    slow = found.result("slow", "no_slower")
    assert slow.outcome is Outcome.FAILED, slow.reason
    evaluation, record = found.evaluation, found.evaluation.latency
    assert [same_judgement(*pair) for pair in zip(judge(evaluation), evaluation.judgements, strict=True)] == [None]
    assert record is not None
    assert [block.system for block in record.blocks[:8]] == [0, 1, 1, 0, 1, 0, 0, 1]
    assert len(record.blocks) == 5 * 4 * 2
    alone = [block for block in record.blocks if block.concurrency == 1]
    assert {block.batch_rows for block in alone} == {1.0}
    assert {answer.completion_tokens for block in record.blocks for answer in block.answers} == {6}
    assert max(block.batch_rows or 0 for block in record.blocks if block.concurrency == 2) > 1
    assert {block.production_requests for block in record.blocks} == {0}
    host = evaluation.environment.host
    assert host is not None
    assert host.start.digest == host.end.digest == record.host
    printed = capsys.readouterr().out
    assert "Latency: slow" in printed
    assert "Host of the engines" in printed


def test_production_beside_the_timed_requests_leaves_times_open(served: Served, models: Path, tmp_path: Path) -> None:
    with in_production(served, 3):
        found = evaluate(served, [models / "slow"], tmp_path, LATENCY.format(cycles=2, concurrency=1))
    result = found.result("slow", "no_slower")
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "3 production requests ran in one block" in result.reason


def test_memory_is_read_at_contexts_and_over_equal_requests(
    served: Served, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(served, [models / name for name in ("twin", "leaky", "short")], tmp_path, MEMORY)
    incumbent, twin, *_ = found.evaluation.memory
    assert [record.system for record in found.evaluation.memory] == [0, 1, 2, 3]
    for record in (incumbent, twin):
        # A word is five of the scripted engine's tokens.
        assert 1990 <= record.contexts[-1].tokens <= 2000
        slopes = {
            (each.reading.peak_bytes - record.contexts[0].reading.peak_bytes)
            / (each.tokens - record.contexts[0].tokens)
            for each in record.contexts[1:]
        }
        assert slopes == {1000.0}
        assert len(record.after_request) == 20
        assert record.production_requests == 0
    assert found.result("twin", "memory_peak").outcome is Outcome.PASSED
    assert found.result("twin", "memory_leak").outcome is Outcome.PASSED
    assert found.result("leaky", "memory_leak").outcome is Outcome.FAILED
    short = found.result("short", "memory_peak")
    assert short.outcome is Outcome.FAILED
    assert "context_length_exceeded" in short.reason
    assert "1,000 bytes a token" in capsys.readouterr().out


def test_a_criterion_from_the_command_line_is_in_the_record(served: Served, models: Path, tmp_path: Path) -> None:
    flags = ("--require", "disk_bytes <= 1", "--advise", "accuracy >= 0.5 tag=demo name=demo_floor")
    found = evaluate(served, [models / "twin"], tmp_path, "", *flags, cases=12)
    assert found.status == ExitCode.FAILED
    assert found.evaluation.judgements[0].verdict.decided_by == ("disk_bytes <= 1",)
    floor = found.result("twin", "demo_floor")
    assert (floor.required, floor.outcome) == (False, Outcome.PASSED)
