"""The models that are measured, made once and kept: SmolLM2 in float32, a tiny random llama, a script."""

import json
import os
import shutil
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import cast

import mlx.core as mx

from tests.bench.paced_app import BEAT_S, CHUNKS
from tests.support.models import embedded_model
from tests.support.tiny_llama import write_model

SCRIPT = """
default_text = "{text}"
step_delay_s = {step_delay_s}
"""


class ModelKind(StrEnum):
    REAL = "real"
    """SmolLM2-135M in float32, or what `--model` names."""
    TINY = "tiny"
    SCRIPTED = "scripted"


def directory(kind: ModelKind, *, real: Path | None) -> Path:
    """Return the directory of a model, made at its first use. `real` is the one that `--model` names."""
    match kind:
        case ModelKind.REAL:
            return real or _smol()
        case ModelKind.TINY:
            return _made("tiny-llama", write_model)
        case ModelKind.SCRIPTED:
            return _made("scripted", _write_script)


def _smol() -> Path:
    return _made("smollm2-float32", _write_float32)


def _made(name: str, write: Callable[[Path], Path]) -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gateway-canary-bench"
    made = root / name
    if not made.exists():
        partial = root / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        partial.rename(made)
    return made


def _write_float32(directory: Path) -> Path:
    base = embedded_model()
    for file in base.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, directory / file.name)
    weights: dict[str, mx.array] = {}
    for file in sorted(base.glob("model*.safetensors")):
        weights |= cast("dict[str, mx.array]", mx.load(str(file)))
    single = {name: array.astype(mx.float32) for name, array in weights.items()}
    mx.save_safetensors(  # pyright: ignore[reportUnknownMemberType] - its stub types no result
        str(directory / "model.safetensors"), single, metadata={"format": "mlx"}
    )
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "torch_dtype": "float32"}))
    return directory


def _write_script(directory: Path) -> Path:
    (directory / "scripted.toml").write_text(SCRIPT.format(text="x" * CHUNKS, step_delay_s=BEAT_S))
    return directory
