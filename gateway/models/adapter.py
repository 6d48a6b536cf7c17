"""A LoRA adapter's directory, as mlx-lm trains it: judged by its configuration and its header, without MLX."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gateway.models.safetensors import tensor_bytes
from gateway.models.unreadable import unreadable

CONFIG = "adapter_config.json"
WEIGHTS = "adapters.safetensors"
FILES = (CONFIG, WEIGHTS)
"""All that mlx-lm's load_adapters opens. A training run leaves checkpoints beside them, which answer nothing."""


class _LoraParameters(msgspec.Struct, frozen=True):
    rank: Annotated[int, msgspec.Meta(ge=1)]
    scale: float
    dropout: float


class _Config(msgspec.Struct, frozen=True):
    """What load_adapters reads; a training run writes much more beside it."""

    num_layers: int
    lora_parameters: _LoraParameters
    fine_tune_type: Literal["lora", "dora"] = "lora"


def check_adapter(directory: Path) -> int:
    """Check that an adapter is whole and return the bytes of its tensors.

    Whether it fits a model is seen when both are loaded. Raises InvalidRequest (MODEL_UNREADABLE), one sentence.
    """
    for name in FILES:
        if not (directory / name).is_file():
            raise unreadable(
                f"{directory} has no {name}, so it is no adapter: give the directory that `mlx_lm.lora` wrote"
                " (--adapter-path)"
            )
    config = directory / CONFIG
    try:
        msgspec.json.decode(config.read_bytes(), type=_Config)
    except msgspec.DecodeError as error:
        raise unreadable(f"{config} does not describe a LoRA adapter ({error}): train it with mlx-lm") from error
    return tensor_bytes(directory / WEIGHTS)
