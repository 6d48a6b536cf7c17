"""`python -m gateway.engine.quantize`: builds of one model at several bit widths, by mlx-lm's own quantiser.

A build is the base model with quantised weights and a configuration that says so. Every other file, the tokenizer and
the chat template among them, is copied as it stands, so that builds differ in nothing else.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from mlx_lm import utils

from gateway.contracts.jobs import QuantizeRequest
from gateway.engine.build_directory import build_directory, refuse_full_disk
from gateway.engine.job import JobError, Report, run
from gateway.engine.model_files import ModelFiles, read_model_files
from gateway.errors import InvalidRequest
from gateway.models.safetensors import Tensor

_REPLACED = {"config.json", "README.md", "model.safetensors.index.json"}
"""Files of the base that a build has its own of, or none."""

_SCALE_AND_BIAS_PER_GROUP = 2
_REASON_LENGTH = 300

_mlx_lm = cast("Any", utils)  # Its functions are typed in part only.


def predicted_build_bytes(tensors: Iterable[Tensor], *, bits: int, group_size: int) -> int:
    """Return the bytes of a build's tensors; exact where the model has no wishes of its own for single layers.

    Each weight of a matrix takes `bits`, each group a scale and a bias of the width that the weights had. Vectors, and
    matrices whose rows are no whole number of groups, stay as they are.
    """
    total = 0
    for tensor in tensors:
        quantised = len(tensor.shape) >= 2 and tensor.shape[-1] % group_size == 0  # noqa: PLR2004 - a matrix has two
        if not quantised:
            total += tensor.stored_bytes
            continue
        element_bytes = tensor.stored_bytes // tensor.size
        groups = tensor.size // group_size
        total += tensor.size * bits // 8 + groups * _SCALE_AND_BIAS_PER_GROUP * element_bytes
    return total


def quantize(request: QuantizeRequest, report: Report) -> dict[str, object]:
    """Make all builds, one after the other. Raises JobError; builds that were finished before stay."""
    files = _base(Path(request.model))
    outs = {bits: Path(request.out[bits]) for bits in request.bits if bits in request.out}
    if missing := [bits for bits in request.bits if bits not in outs]:
        raise JobError(f"`out` names no directory for {missing[0]} bits; name one for each.")
    predicted = {
        bits: predicted_build_bytes(files.tensors.values(), bits=bits, group_size=request.group_size) for bits in outs
    }
    refuse_full_disk(next(iter(outs.values())), sum(predicted.values()))
    for index, (bits, out) in enumerate(outs.items()):
        report(index / len(outs), f"quantising to {bits} bits")
        with build_directory(out) as directory:
            _build(files, directory, bits=bits, group_size=request.group_size)
    report(1.0, "done")
    return {"paths": {str(bits): str(out) for bits, out in outs.items()}}


def _base(directory: Path) -> ModelFiles:
    try:
        files = read_model_files(directory)
    except InvalidRequest as error:
        raise JobError(error.message) from error
    if files.quantised:
        raise JobError(
            f"{directory} is quantised already, and quantising it again would add one error to another; "
            "give the unquantised model it was made of, or dequantise it with mlx_lm.convert --dequantize first."
        )
    return files


def _build(files: ModelFiles, out: Path, *, bits: int, group_size: int) -> None:
    try:
        # Lazily: a weight is read when its quantised form is written, so the base is never in memory as a whole.
        model, config = _mlx_lm.load_model(files.directory, lazy=True)
        model, config = _mlx_lm.quantize_model(model, config, group_size=group_size, bits=bits)
        _mlx_lm.save_model(out, model, donate_model=True)
        _mlx_lm.save_config(config, out / "config.json")
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        reason = textwrap.shorten(str(error), _REASON_LENGTH, placeholder=" ...") or type(error).__name__
        raise JobError(f"{files.directory} cannot be quantised to {bits} bits ({reason}); copy it again.") from error
    for path in files.directory.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name not in _REPLACED:
            shutil.copy(path, out)


if __name__ == "__main__":
    sys.exit(run(QuantizeRequest, quantize))
