"""`canary evaluate` that is ended from outside, and given again: it goes on, and repeats no trial that it has."""

import json
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from canary.client import GatewayClient
from canary.errors import ExitCode
from gateway.contracts.evaluations import Completion
from tests.support.mini_suite import write_mini_suite
from tests.support.programs import PATIENCE_S, RunningGateway, gateway_serving, run, running, wait_until
from tests.support.scripted_model import write_scripted_model

_ANSWER = 'default_text = "4"\nstep_delay_s = 0.01\n'
_CASES = 60
"""Enough that a run is not over before its end can be asked for."""
_KEPT = 6


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    home = tmp_path_factory.mktemp("gateway")
    with gateway_serving(home, "--model", write_scripted_model(home / "incumbent", _ANSWER)) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, ExitCode.INTERRUPTED, id="interrupted"),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="killed"),
    ],
)
def test_a_run_that_is_ended_goes_on_where_it_was(
    gateway: RunningGateway, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    suite = write_mini_suite(tmp_path, count=_CASES)
    candidate = write_scripted_model(tmp_path / "candidate", f"{_ANSWER}context_length = 4096\n")
    command = ["evaluate", candidate, "--suite", suite, "--gateway", gateway.url]
    with running("canary", *command, home=tmp_path) as first:
        wait_until(lambda: len(_logged(tmp_path)) >= _KEPT, alive=lambda: _still_runs(first))
        first.send_signal(number)
        assert first.wait(PATIENCE_S) == status
    kept = _logged(tmp_path)
    assert _KEPT <= len(kept) < 2 * _CASES
    with GatewayClient(gateway.url) as client:
        recorded = {each.id for each in client.evaluations()}
        again = run("canary", *command, cwd=tmp_path)
        assert again.returncode == ExitCode.PASSED, again.stderr
        assert f"Going on with {len(kept)} trials" in again.stderr
        (new,) = (each.id for each in client.evaluations() if each.id not in recorded)
        evaluation = client.evaluation(new)
    assert len(evaluation.trials) == 2 * _CASES
    position = {system.variant.digest: number for number, system in enumerate(evaluation.systems)}
    recorded_s = {
        (position[trial.variant_digest], trial.case_id): trial.result.generation_time_s
        for trial in evaluation.trials
        if isinstance(trial.result, Completion)
    }
    # No two answers take the same time: these are the trials of the first process.
    assert kept.items() <= recorded_s.items()
    assert _logged(tmp_path) == {}


def _still_runs(process: subprocess.Popen[bytes]) -> None:
    assert process.poll() is None, f"canary ended with {process.returncode}"


def _logged(home: Path) -> dict[tuple[int, str], float]:
    """Return how long each trial took that lies in the log, by its system and case; a torn last line is none."""
    files = list((home / "xdg-state" / "canary" / "runs").glob("*.jsonl"))
    lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)[1:]]
    trials = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return {(each["system"], each["case_id"]): each["tried"]["result"]["generation_time_s"] for each in trials}
