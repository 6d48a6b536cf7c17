"""`python -m gateway.engine.build`: one build of a model, with its provenance beside it; `builds.py` says which."""

import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec

from gateway.contracts.builds import PROVENANCE_FILE, BuildKind, Provenance, Training
from gateway.contracts.jobs import BuildOrder
from gateway.engine import faults, fuse
from gateway.engine.build_directory import build_directory, refuse_full_disk
from gateway.engine.job import JobError, Report, run
from gateway.engine.saved_model import (
    load_in_float,
    predicted_build_bytes,
    quantised,
    read_source,
    save,
    told_in_a_sentence,
)
from gateway.engine.train import train
from gateway.models.model_files import ModelFiles

_ADAPTER_BYTES = 256 * 1024 * 1024
"""More than an adapter of those that can be asked for takes."""


def build(order: BuildOrder, report: Report) -> dict[str, object]:
    """Make the build whole, or leave nothing. Raises JobError."""
    started_s = time.monotonic()
    files, out = read_source(Path(order.model)), Path(order.out)
    if order.memory_limit_bytes is not None:
        mx.set_memory_limit(order.memory_limit_bytes)
    refuse_full_disk(out, _predicted_bytes(files, order))
    provenance = msgspec.structs.replace(
        order.provenance,
        dequantised_base=files.quantised and order.kind is not BuildKind.REQUANTISED_FUSE,
        versions={name: version(name) for name in ("mlx", "mlx-lm")},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with build_directory(out) as directory:
        if order.kind is BuildKind.TRAIN:
            train(files, _training(order), directory, report)
        else:
            _make_model(files, order, directory, report)
        _write(msgspec.structs.replace(provenance, took_s=time.monotonic() - started_s), directory)
    report(1.0, "done")
    return {"path": str(out)}


def _make_model(files: ModelFiles, order: BuildOrder, directory: Path, report: Report) -> None:
    report(0.1, f"reading {files.directory.name}")
    with told_in_a_sentence(f"{files.directory} cannot be built from"):
        model, config = _changed(files, order)
        if order.bits is not None and order.kind is not BuildKind.REQUANTISED_FUSE:
            model, config = quantised(model, config, bits=order.bits, group_size=order.group_size)
        report(0.3, "writing the weights")
        save(files.directory, directory, model, config)
    match order.kind:
        case BuildKind.WRONG_TEMPLATE:
            faults.replace_template(directory)
        case BuildKind.TRUNCATED_TOKENIZER:
            faults.truncate_tokenizer(directory)
        case _:
            pass


def _changed(files: ModelFiles, order: BuildOrder) -> tuple[Any, dict[str, Any]]:
    """Return the model as the kind wants its weights, before they are quantised."""
    if order.kind is BuildKind.REQUANTISED_FUSE:
        return faults.fuse_and_requantise(files, _adapter(order), bits=order.bits, group_size=order.group_size)
    model, config = load_in_float(files)
    if order.kind is BuildKind.FUSE and order.adapter is not None:
        fuse.fuse_in_float(model, _adapter(order))
    elif order.kind is BuildKind.SHUFFLED_LAYER:
        faults.exchange_layers(model)
    return model, config


def _adapter(order: BuildOrder) -> Path:
    if order.adapter is None:
        raise JobError(f"`adapter` is missing; {order.kind} needs one.")
    return Path(order.adapter)


def _training(order: BuildOrder) -> Training:
    if order.training is None:
        raise JobError("`training` is missing; training needs examples.")
    try:
        return msgspec.json.decode(Path(order.training).read_bytes(), type=Training)
    except (OSError, msgspec.DecodeError) as error:
        raise JobError(f"{order.training} cannot be read ({error}); order the build again.") from error


def _predicted_bytes(files: ModelFiles, order: BuildOrder) -> int:
    if order.kind is BuildKind.TRAIN:
        return _ADAPTER_BYTES
    if order.bits is None or files.quantised:
        return files.float_bytes  # More than a quantised base takes at any width.
    return predicted_build_bytes(files.tensors.values(), bits=order.bits, group_size=order.group_size)


def _write(provenance: Provenance, directory: Path) -> None:
    (directory / PROVENANCE_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(provenance)) + b"\n")


if __name__ == "__main__":
    sys.exit(run(BuildOrder, build))
