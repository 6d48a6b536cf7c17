"""What a model directory holds, checked before a library's traceback would tell."""

from pathlib import Path
from typing import cast

import msgspec

from gateway.models.safetensors import Tensor, read_header, weight_files
from gateway.models.unreadable import read_json_object, unreadable

_LEAST_BITS = 2
"""Of MLX's quantised weights, which are packed into unsigned words of 32."""


class ModelFiles(msgspec.Struct, frozen=True):
    directory: Path
    config: dict[str, object]
    """`config.json` as it stands."""
    tensors: dict[str, Tensor]

    @property
    def quantised(self) -> bool:
        return "quantization" in self.config or "quantization_config" in self.config

    @property
    def float_bytes(self) -> int:
        """What the weights take in float, at 16 bits where they are packed now."""
        return sum(_float_bytes(tensor, self._packed_bits) for tensor in self.tensors.values())

    @property
    def _packed_bits(self) -> int:
        about = self.config.get("quantization") or self.config.get("quantization_config")
        bits = cast("dict[str, object]", about).get("bits") if isinstance(about, dict) else None
        return bits if isinstance(bits, int) and bits > 0 else _LEAST_BITS


def _float_bytes(tensor: Tensor, packed_bits: int) -> int:
    return tensor.stored_bytes * 16 // packed_bits if tensor.dtype == "U32" else tensor.stored_bytes


def read_model_files(directory: Path) -> ModelFiles:
    """Read the configuration and every safetensors header, and check that the weights are all there.

    Raises InvalidRequest (MODEL_UNREADABLE), whose message names the file and the remedy.
    """
    if not directory.is_dir():
        raise unreadable(f"{directory} is not a directory; give the directory of an MLX model")
    path = directory / "config.json"
    try:
        config = read_json_object(path)
        if not isinstance(config.get("model_type"), str):
            raise unreadable(f"{path} names no `model_type`; give the directory of an MLX model")
        tensors = {name: tensor for file in weight_files(directory) for name, tensor in read_header(file).items()}
    except FileNotFoundError as error:
        raise unreadable(f"{error.filename} is missing; give the directory of an MLX model") from error
    except OSError as error:
        raise unreadable(f"{error.filename} cannot be read ({error.strerror}); copy the model again") from error
    return ModelFiles(directory, config, tensors)
