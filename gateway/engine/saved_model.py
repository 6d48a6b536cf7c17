"""A model in mlx-lm's hands, to a directory: its weights and configuration, and all other files of its source."""

import shutil
import textwrap
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from mlx_lm import utils

from gateway.contracts.builds import PROVENANCE_FILE
from gateway.engine.job import JobError
from gateway.errors import InvalidRequest
from gateway.models.model_files import ModelFiles, read_model_files
from gateway.models.safetensors import Tensor

_REPLACED = {"config.json", "README.md", "model.safetensors.index.json", PROVENANCE_FILE}
"""Files of the source that the result has its own of, or none."""

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


def read_source(directory: Path) -> ModelFiles:
    """Read what a model's directory holds. Raises JobError."""
    try:
        return read_model_files(directory)
    except InvalidRequest as error:
        raise JobError(error.message) from error


@contextmanager
def told_in_a_sentence(attempt: str) -> Generator[None]:
    """Raise JobError for what mlx-lm and MLX raise; `attempt` is the sentence's beginning."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = textwrap.shorten(str(error), _REASON_LENGTH, placeholder=" ...") or type(error).__name__
        raise JobError(f"{attempt} ({reason}); copy the files again.") from error


def load_in_float(files: ModelFiles) -> tuple[Any, dict[str, Any]]:
    """Return the model and its configuration, dequantised where it was quantised.

    Lazily: a weight is read when it is used or written, so that a model is never in memory as a whole.
    """
    model, config = _mlx_lm.load_model(files.directory, lazy=True)
    if files.quantised:
        model = _mlx_lm.dequantize_model(model)
        for key in ("quantization", "quantization_config"):
            config.pop(key, None)
    return model, config


def quantised(model: Any, config: dict[str, Any], *, bits: int, group_size: int) -> tuple[Any, dict[str, Any]]:
    return _mlx_lm.quantize_model(model, config, group_size=group_size, bits=bits)


def save(source: Path, out: Path, model: Any, config: dict[str, Any]) -> None:
    """Write the model, which is gone after that, and copy what else lies beside its source as it stands."""
    _mlx_lm.save_model(out, model, donate_model=True)
    _mlx_lm.save_config(config, out / "config.json")
    for path in source.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name not in _REPLACED:
            shutil.copy(path, out)
