"""`python -m gateway.engine.quantize`: builds of one model at several bit widths, by mlx-lm's own quantiser.

A build is the base model with quantised weights and a configuration that says so. Every other file, the tokenizer and
the chat template among them, is copied as it stands, so that builds differ in nothing else.
"""

import sys
from pathlib import Path

from gateway.contracts.jobs import QuantizeRequest
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
from gateway.models.model_files import ModelFiles


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
    files = read_source(directory)
    if files.quantised:
        raise JobError(
            f"{directory} is quantised already, and quantising it again would add one error to another; "
            "give the unquantised model it was made of, or dequantise it with mlx_lm.convert --dequantize first."
        )
    return files


def _build(files: ModelFiles, out: Path, *, bits: int, group_size: int) -> None:
    with told_in_a_sentence(f"{files.directory} cannot be quantised to {bits} bits"):
        model, config = quantised(*load_in_float(files), bits=bits, group_size=group_size)
        save(files.directory, out, model, config)


if __name__ == "__main__":
    sys.exit(run(QuantizeRequest, quantize))
