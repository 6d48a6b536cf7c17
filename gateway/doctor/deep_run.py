"""Run the deep checks, each within its time, on the model that is named or on one made for it."""

import asyncio
import enum
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psutil

from gateway.contracts.jobs import QuantizeRequest
from gateway.contracts.variants import EngineSpec
from gateway.doctor.deep import CHECKS, Check, Evidence, NotRun, Patient, Wrong
from gateway.doctor.finding import Finding
from gateway.doctor.machine import Probe
from gateway.doctor.models import Unread, engine_of
from gateway.doctor.tiny_model import write_tiny_model
from gateway.errors import GatewayError, StartError
from gateway.fleet.budget import gib, resident_bytes
from gateway.fleet.jobs import run_job, unwatched
from gateway.fleet.memory import dequantises
from gateway.models import read_model_directory
from gateway.registry import read_registry
from gateway.settings import Settings

CHECK_LIMIT_S = 600.0
"""Of one check: a swap loads a model twice, and a large one may take minutes from a cold disk."""

_TINY_BITS = 4
_TINY_ROWS = 4
_QUANTIZE_TIMEOUT_S = 120.0


class CheckOutcome(enum.StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    check: str
    outcome: CheckOutcome
    detail: str = ""
    """What is wrong, or why it was not run."""
    duration_s: float = 0.0
    evidence: Evidence = {}


OnResult = Callable[[CheckResult], None]


async def patient_of(settings: Settings, probe: Probe, *, model_given: bool, work_dir: Path) -> Patient:
    """Return what is to be examined: the model that the command line names, else a tiny one that is made in `work_dir`.

    With Metal that is quantised, so that the quantised kernels run. Raises StartError where the named one is no model.
    """
    engine = (
        await _named(settings) if model_given else await _tiny(work_dir / "models", quantised=probe.device == "metal")
    )
    return Patient(
        engine=engine, settings=msgspec.structs.replace(settings, state_dir=str(work_dir / "state")), probe=probe
    )


async def run_checks(
    patient: Patient,
    *,
    on_begin: Callable[[str], None],
    on_result: OnResult,
    checks: Mapping[str, Check] = CHECKS,
    limit_s: float = CHECK_LIMIT_S,
    available_bytes: Callable[[], int] = lambda: psutil.virtual_memory().available,
) -> tuple[CheckResult, ...]:
    """Run all, one after another: what one finds keeps no other from being run."""
    results: list[CheckResult] = []
    for name, check in checks.items():
        on_begin(name)
        result = _without_room(name, patient, available_bytes()) or await _run(name, check, patient, limit_s)
        on_result(result)
        results.append(result)
    return tuple(results)


async def _run(name: str, check: Check, patient: Patient, limit_s: float) -> CheckResult:
    started_s = time.monotonic()
    outcome, detail, evidence = CheckOutcome.FAILED, "", {}
    try:
        async with asyncio.timeout(limit_s):
            evidence = await check(patient)
        outcome = CheckOutcome.PASSED
    except NotRun as reason:
        outcome, detail = CheckOutcome.NOT_RUN, str(reason)
    except Wrong as finding:
        detail = str(finding)
    except TimeoutError:
        detail = f"it did not end within {limit_s:g} s"
    except GatewayError as error:
        detail = f"{error.code}: {error.message}"
    except Exception as error:  # noqa: BLE001 - a report that tells of a broken check beats none
        detail = f"the check itself broke: {type(error).__name__}"
    duration_s = round(time.monotonic() - started_s, 3)
    return CheckResult(check=name, outcome=outcome, detail=detail, duration_s=duration_s, evidence=evidence)


def _without_room(name: str, patient: Patient, available_bytes: int) -> CheckResult | None:
    """Return that it is not run, where the system has no memory left for one more engine of this model."""
    needed_bytes = resident_bytes(patient.engine, dequantise=dequantises(patient.engine))
    if needed_bytes <= available_bytes:
        return None
    detail = (
        f"{gib(available_bytes)} of memory are free, and the model takes {gib(needed_bytes)}: stop the gateway that "
        "runs here, or leave --model out"
    )
    return CheckResult(check=name, outcome=CheckOutcome.NOT_RUN, detail=detail)


async def _named(settings: Settings) -> EngineSpec:
    registry = await asyncio.to_thread(read_registry, Path(settings.state_dir))
    found = await engine_of(settings.deployments[0], settings, registry)
    if isinstance(found, Finding):
        raise StartError(f"{found.detail}; name a model's directory with --model, or leave it out.")
    return found


async def _tiny(directory: Path, *, quantised: bool) -> EngineSpec:
    path = await asyncio.to_thread(write_tiny_model, directory / "tiny")
    if quantised:
        out = directory / f"tiny-{_TINY_BITS}bit"
        order = QuantizeRequest(model=str(path), bits=(_TINY_BITS,), out={_TINY_BITS: str(out)})
        await run_job(
            "gateway.engine.quantize",
            order,
            on_progress=unwatched,
            timeout_s=_QUANTIZE_TIMEOUT_S,
        )
        path = out
    return read_model_directory(path, max_rows=_TINY_ROWS, digest_cache=Unread(), on_progress=unwatched).engine
