"""The benchmarks run: every scenario once, small, with real processes. What they measure is not judged here."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.bench.results import Results
from tests.bench.scenarios import SCENARIOS, VLLM

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)  # a quarter of a minute on a machine of its own
def test_every_scenario_runs_and_each_contender_answers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--quick", "--out", tmp_path, "--bandwidth", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    results = msgspec.json.decode((tmp_path / "latest.json").read_bytes(), type=Results)
    assert [scenario.name for scenario in results.scenarios] == [scenario.name for scenario in SCENARIOS]
    for scenario, result in zip(SCENARIOS, results.scenarios, strict=True):
        assert set(result.figures) == set(scenario.contenders) - {VLLM}, result.unavailable
        for target in result.targets:
            assert target.value is not None, (scenario.name, target.target)
            if target.target.figure in {"errors", "lost", "after_errors"}:
                assert target.value == 0, scenario.name
    assert results.roofline is not None
    assert results.roofline.measured_tokens_per_s
    assert (tmp_path / "latest.md").read_text() in done.stdout


def test_the_servers_are_compared_by_what_a_chunk_costs_them() -> None:
    command = [sys.executable, "-m", "tests.bench.http_servers", "--repeats", "1", "--streams", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "| uvicorn |" in done.stdout
