"""Write a small llama with random weights, and a LoRA adapter for it: real files, where overhead is everything.

    python -m tests.support.tiny_llama OUT

makes the model that the benchmarks run: 2 layers, 64 wide, the vocabulary and tokenizer of the embedded model.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx.utils import tree_flatten  # pyright: ignore[reportUnknownVariableType] - its lists are of Any
from mlx_lm.models import llama
from mlx_lm.tuner.utils import linear_to_lora_layers  # pyright: ignore[reportUnknownVariableType] - a bare Dict

from tests.support.models import embedded_model

VOCABULARY_SIZE = 49152
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCABULARY_SIZE,
    "max_position_embeddings": 8192,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
}
LORA: dict[str, Any] = {"num_layers": 2, "lora_parameters": {"rank": 4, "scale": 20.0, "dropout": 0.5}}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write_model(directory: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write a model in float32 whose weights the seed draws; `changes` go over CONFIG. Returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, **changes}
    mx.random.seed(seed)
    model = llama.Model(llama.ModelArgs(**config))
    weights = _redrawn(model.parameters())
    mx.save_safetensors(  # pyright: ignore[reportUnknownMemberType] - its stub types no result
        str(directory / "model.safetensors"), weights, metadata={"format": "mlx"}
    )
    # No end of sequence among them, so that a random answer is as long as it was asked to be.
    (directory / "config.json").write_text(json.dumps({**config, "eos_token_id": VOCABULARY_SIZE - 1}))
    for name in _TOKENIZER_FILES:
        shutil.copy(embedded_model() / name, directory / name)
    return directory


def write_adapter(directory: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write a random LoRA adapter for `write_model` with the same changes of CONFIG."""
    directory.mkdir(parents=True, exist_ok=True)
    mx.random.seed(seed)
    model = llama.Model(llama.ModelArgs(**{**CONFIG, **changes}))
    model.freeze()
    linear_to_lora_layers(model, LORA["num_layers"], LORA["lora_parameters"])
    weights = _redrawn(model.trainable_parameters())
    mx.save_safetensors(  # pyright: ignore[reportUnknownMemberType] - its stub types no result
        str(directory / "adapters.safetensors"), weights
    )
    (directory / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "lora", **LORA}))
    return directory


def _redrawn(parameters: Any) -> dict[str, mx.array]:
    """Return the matrices drawn anew, and the vectors (of norms) as they are.

    Wide enough that the likeliest token depends on the prompt: with MLX's own initial weights it hardly does.
    """
    flat = cast("list[tuple[str, mx.array]]", tree_flatten(parameters))
    return {name: 0.3 * mx.random.normal(array.shape) if array.ndim > 1 else array for name, array in flat}


if __name__ == "__main__":
    print(write_model(Path(sys.argv[1])))  # noqa: T201 - a command's answer
