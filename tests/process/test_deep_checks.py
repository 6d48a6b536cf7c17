"""The checks of `gateway doctor --deep`: each passes on an engine that is right, and finds one that is not."""

import platform
from pathlib import Path

import msgspec
import pytest

from gateway.contracts.jobs import LimitsRequest
from gateway.doctor import deep
from gateway.doctor.deep import CHECKS, NotRun, Patient, Wrong
from gateway.doctor.deep_run import CheckOutcome, CheckResult, patient_of, run_checks
from gateway.doctor.machine import Probe
from gateway.engine import device
from gateway.fleet.memory import MachineMemory
from gateway.settings import GIB, Settings
from tests.support.fleets import QUICK, spec_of
from tests.support.scripted_model import write_scripted_model

PROMPTS_CHECKED = ("batching", "cancellation", "swap_beside", "swap_in_turn", "scoring", "memory_guard")
RIGHT = f'step_delay_s = 0.002\ndefault_text = "{"It was a dark and stormy night. " * 80}"\n'
CPU = Probe(device="cpu", chip="a chip", recommended_working_set_bytes=None, mlx="1", mlx_lm="1")
METAL = msgspec.structs.replace(CPU, device="metal", recommended_working_set_bytes=24 * GIB)


def scripted(tmp_path: Path, more: str = "", *, probe: Probe = CPU, max_rows: int = 4) -> Patient:
    """Return a scripted model as a patient: right, but for what `more` adds to its script."""
    return Patient(
        engine=spec_of(write_scripted_model(tmp_path / "model", RIGHT + more), max_rows=max_rows),
        settings=Settings(state_dir=str(tmp_path / "state"), engine=QUICK),
        probe=probe,
    )


async def result_of(name: str, patient: Patient, *, limit_s: float = 120.0) -> CheckResult:
    (result,) = await run_checks(
        patient,
        on_begin=lambda _name: None,
        on_result=lambda _result: None,
        checks={name: CHECKS[name]},
        limit_s=limit_s,
    )
    return result


# --- engines that are right ---


@pytest.mark.anyio
@pytest.mark.parametrize("name", PROMPTS_CHECKED)
async def test_a_right_engine_passes(name: str, tmp_path: Path) -> None:
    result = await result_of(name, scripted(tmp_path))
    assert result.outcome is CheckOutcome.PASSED, result.detail
    assert result.evidence


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["batching", "scoring"])
async def test_mlx_passes_on_the_tiny_model_that_is_made_for_it(name: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path / "state"))
    patient = await patient_of(settings, CPU, model_given=False, work_dir=tmp_path / "work")
    result = await result_of(name, patient)
    assert result.outcome is CheckOutcome.PASSED, result.detail
    assert result.evidence.get("first_tokens_compared", 4) == 4
    assert result.evidence.get("compared_with_answer", 12) == 12


@pytest.mark.metal
@pytest.mark.skipif(not device.has_metal(), reason="needs an Apple GPU")
@pytest.mark.anyio
@pytest.mark.parametrize("name", CHECKS)
async def test_with_metal_every_check_passes(name: str, tmp_path: Path) -> None:
    about = device.describe()
    probe = msgspec.structs.replace(METAL, recommended_working_set_bytes=about.recommended_working_set_bytes)
    settings = Settings(state_dir=str(tmp_path / "state"))
    patient = await patient_of(settings, probe, model_given=False, work_dir=tmp_path / "work")
    result = await result_of(name, patient)
    assert result.outcome is CheckOutcome.PASSED, result.detail


# --- engines that are not ---


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("batching", '[[faults]]\nmatch = "lighthouse"\nkind = "raise"\n', "engine_fault"),
        ("cancellation", "keeps_cancelled = true\n", "decodes on"),
        ("cancellation", '[[faults]]\nmatch = "months"\nkind = "exit"\nat_token = 3\n', "engine_crashed"),
        ("swap_beside", '[[faults]]\nmatch = "Count"\nkind = "raise"\nat_token = 5\n', "engine_"),
        ("swap_in_turn", '[[faults]]\nmatch = "months"\nkind = "kill"\nat_token = 5\n', "crashed"),
        ("scoring", "score_error = -1.0\n", "two scores"),
        ("scoring", "score_error = nan\n", "no log-probability"),
        ("memory_guard", f"leak_bytes_per_request = {2 * GIB}\n", "the budget is"),
    ],
    ids=[
        "a row fails",
        "cancelled rows go on",
        "a crash",
        "new engine",
        "a request is lost",
        "scores",
        "nan",
        "memory",
    ],
)
async def test_an_engine_that_misbehaves_is_found(name: str, more: str, said: str, tmp_path: Path) -> None:
    result = await result_of(name, scripted(tmp_path, more))
    assert result.outcome is CheckOutcome.FAILED
    assert said in result.detail


@pytest.mark.anyio
async def test_requests_that_are_decoded_one_at_a_time_are_found(tmp_path: Path) -> None:
    result = await result_of("batching", scripted(tmp_path, max_rows=1))
    assert (result.outcome, "1.00 at a time" in result.detail) == (CheckOutcome.FAILED, True)


@pytest.mark.anyio
async def test_an_engine_that_hangs_ends_with_its_checks_time(tmp_path: Path) -> None:
    hangs = '[[faults]]\nmatch = "Count"\nkind = "hang"\n'
    result = await result_of("batching", scripted(tmp_path, hangs), limit_s=4)
    assert (result.outcome, result.detail) == (CheckOutcome.FAILED, "it did not end within 4 s")


@pytest.mark.anyio
async def test_a_guard_that_lets_everything_in_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MachineMemory, "check_load", lambda *_: None)
    result = await result_of("memory_guard", scripted(tmp_path))
    assert (result.outcome, "larger than the memory" in result.detail) == (CheckOutcome.FAILED, True)


@pytest.mark.anyio
async def test_weights_that_are_not_on_the_gpu_are_found(tmp_path: Path) -> None:
    with pytest.raises(Wrong, match="runs on scripted"):
        await deep.weights(scripted(tmp_path, probe=METAL))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wired_bytes": 0}, "0 bytes may be wired"),
        ({"recommended_working_set_bytes": None}, "recommends no working set"),
        ({"memory_bytes": 1}, "memory limit is 1"),
    ],
    ids=["not wired", "nothing recommended", "no memory limit"],
)
async def test_limits_that_did_not_take_are_found(change: dict[str, object], said: str, tmp_path: Path) -> None:
    async def read_limits(request: LimitsRequest) -> dict[str, object]:
        right = {"recommended_working_set_bytes": 24 * GIB, "wired_bytes": 24 * GIB}
        return {**right, "memory_bytes": request.memory_limit_bytes, **change}

    with pytest.raises(Wrong, match=said):
        await deep.wired_limit_by(scripted(tmp_path, probe=METAL), read_limits)


# --- what cannot be checked ---


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["weights", "wired_limit"])
async def test_without_metal_it_is_said_what_was_not_run(name: str, tmp_path: Path) -> None:
    result = await result_of(name, scripted(tmp_path))
    assert (result.outcome, "no Metal" in result.detail) == (CheckOutcome.NOT_RUN, True)


@pytest.mark.anyio
async def test_an_engine_of_one_request_at_a_time_has_no_batch_to_check(tmp_path: Path) -> None:
    patient = scripted(tmp_path)
    alone = Patient(
        engine=msgspec.structs.replace(patient.engine, kv_bits=8), settings=patient.settings, probe=patient.probe
    )
    with pytest.raises(NotRun, match="one request at a time"):
        await deep.batching(alone)


@pytest.mark.anyio
async def test_nothing_is_run_where_the_memory_is_taken(tmp_path: Path) -> None:
    results = await run_checks(
        scripted(tmp_path), on_begin=lambda _name: None, on_result=lambda _result: None, available_bytes=lambda: 1000
    )
    assert {result.outcome for result in results} == {CheckOutcome.NOT_RUN}
    assert "stop the gateway" in results[0].detail


@pytest.mark.anyio
async def test_limits_are_read_back_as_they_were_set() -> None:
    request = LimitsRequest(cache_limit_bytes=GIB, memory_limit_bytes=2 * GIB)
    limits = await deep.read_limits(request)
    assert limits["memory_bytes"] == 2 * GIB
    assert (limits["recommended_working_set_bytes"] is None) == (platform.system() != "Darwin")
