"""Jobs in child processes: their one sentence, their progress, and that none outlives who asked for it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from gateway.contracts.error_codes import ErrorCode
from gateway.errors import EngineStartFailed, InvalidRequest
from gateway.fleet.jobs import run_job
from tests.support.models import gguf

WAIT_S = 30.0

_SLEEPER = """
import sys, time
import msgspec
from gateway.engine.job import run

class Nothing(msgspec.Struct):
    pass

def work(request, report):
    print("a library's own noise")
    report(0.5, "half")
    time.sleep(3600)
    return {}

sys.exit(run(Nothing, work))
"""

_CRASHER = "raise RuntimeError('the weights are cursed')"


class Nothing(msgspec.Struct, frozen=True):
    pass


class Anything(msgspec.Struct, frozen=True):
    """Any request, as the fields that are given."""

    model: str | msgspec.UnsetType = msgspec.UNSET
    bits: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    out: object = msgspec.UNSET
    gguf: str | msgspec.UnsetType = msgspec.UNSET
    repo: str | msgspec.UnsetType = msgspec.UNSET


@pytest.fixture
def module_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose modules the child can import."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}")
    return tmp_path


def _run(module: str, request: msgspec.Struct, timeout_s: float = WAIT_S) -> dict[str, object]:
    return asyncio.run(run_job(module, request, on_progress=lambda _share, _message: None, timeout_s=timeout_s))


def _running(module: str) -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if module in child.cmdline()]


def test_the_probe_says_what_it_would_run_on() -> None:
    result = _run("gateway.engine.probe", Nothing())
    assert set(result) == {"device", "chip", "recommended_working_set_bytes", "mlx", "mlx_lm"}
    assert result["device"] in {"cpu", "metal"}


@pytest.mark.parametrize(
    ("module", "request_", "said"),
    [
        ("quantize", Anything(model="/no/model", bits=(4,), out={4: "/no/out"}), "/no/model is not a directory"),
        ("quantize", Anything(model="/no/model", bits=(7,), out={7: "/no/out"}), r"\$\.bits"),
        ("convert", Anything(gguf="/no/file.gguf", out="/no/out"), "/no/file.gguf is not there"),
        ("convert", Anything(gguf=__file__, out="/no/out"), "is not a GGUF file"),
        ("convert", Anything(gguf=str(gguf()), out=str(Path(__file__).parent)), "exists already"),
        ("fetch", Anything(repo="nobody/nothing"), "nobody/nothing is no local model"),
        ("fetch", Anything(repo="no id at all"), "no id at all is no local model"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, module: str, request_: msgspec.Struct, said: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InvalidRequest, match=said) as caught:
        _run(f"gateway.engine.{module}", request_)
    assert caught.value.code is ErrorCode.MODEL_UNREADABLE
    assert "\n" not in caught.value.message


def test_a_repository_that_was_fetched_before_is_found_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--somebody--model"
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert _run("gateway.engine.fetch", Anything(repo="somebody/model")) == {"path": str(snapshot)}


def test_a_job_that_dies_without_a_word_is_quoted_by_its_last_line(module_path: Path) -> None:
    (module_path / "crasher.py").write_text(_CRASHER)
    with pytest.raises(EngineStartFailed, match="RuntimeError: the weights are cursed"):
        _run("crasher", Nothing())


def test_a_job_that_takes_too_long_is_ended(module_path: Path) -> None:
    (module_path / "sleeper.py").write_text(_SLEEPER)
    with pytest.raises(EngineStartFailed, match="took longer than 1 s"):
        _run("sleeper", Nothing(), timeout_s=1.0)
    assert _running("sleeper") == []


def test_a_cancelled_job_is_ended_and_its_progress_was_heard(module_path: Path) -> None:
    (module_path / "sleeper.py").write_text(_SLEEPER)
    heard: list[tuple[float, str]] = []

    async def cancel_at_half() -> None:
        at_half = asyncio.Event()

        def on_progress(share: float, message: str) -> None:
            heard.append((share, message))
            at_half.set()

        job = asyncio.create_task(run_job("sleeper", Nothing(), on_progress=on_progress, timeout_s=WAIT_S))
        await asyncio.wait_for(at_half.wait(), WAIT_S)
        job.cancel()
        await asyncio.wait([job], timeout=WAIT_S)
        assert job.cancelled()

    asyncio.run(cancel_at_half())
    assert heard == [(0.5, "half")]
    assert _running("sleeper") == []


def test_a_job_ends_when_its_parent_is_killed(module_path: Path) -> None:
    (module_path / "sleeper.py").write_text(_SLEEPER)
    (module_path / "parent.py").write_text(
        "import asyncio, msgspec\n"
        "from gateway.fleet.jobs import run_job\n"
        "class Nothing(msgspec.Struct): pass\n"
        "say = lambda share, message: print(message, flush=True)\n"
        "asyncio.run(run_job('sleeper', Nothing(), on_progress=say, timeout_s=60))\n"
    )
    with subprocess.Popen([sys.executable, "-m", "parent"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "half\n"
        (child,) = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(WAIT_S)
        deadline = time.monotonic() + WAIT_S
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the job outlived its parent"
            time.sleep(0.02)
