"""What the memory's bandwidth allows: decoding one token reads every weight that takes part in it once. Pure."""

import json
import re
from pathlib import Path
from typing import Any

from gateway.models.safetensors import read_header, weight_files

CHIP_BANDWIDTH_GB_S = {
    "Apple M1": 68,
    "Apple M1 Pro": 200,
    "Apple M1 Max": 400,
    "Apple M1 Ultra": 800,
    "Apple M2": 100,
    "Apple M2 Pro": 200,
    "Apple M2 Max": 400,
    "Apple M2 Ultra": 800,
    "Apple M3": 100,
    "Apple M3 Pro": 150,
    "Apple M3 Max": 400,
    "Apple M3 Ultra": 819,
    "Apple M4": 120,
    "Apple M4 Pro": 273,
    "Apple M4 Max": 546,
}
"""10^9 bytes a second, as Apple states them. Of two builds of one chip the faster: `--bandwidth` says otherwise."""

_EXPERT = re.compile(r"\b(switch_mlp|experts)\b")
_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")


def bytes_per_token(directory: Path) -> int:
    """Return the bytes of weights that one row reads for one token, at batch 1 and without its cache.

    Of a mixture of experts the experts that are chosen, of an embedding that is not the output layer too one row.
    """
    config: dict[str, Any] = json.loads((directory / "config.json").read_text())
    experts = next((config[name] for name in _EXPERT_COUNTS if name in config), None)
    chosen_ratio = config["num_experts_per_tok"] / experts if experts else 1.0
    tensors = {name: tensor for file in weight_files(directory) for name, tensor in read_header(file).items()}
    has_head = any("lm_head" in name for name in tensors)
    total = 0.0
    for name, tensor in tensors.items():
        if "embed_tokens" in name and has_head:
            total += tensor.stored_bytes / config["vocab_size"]
        elif _EXPERT.search(name):
            total += tensor.stored_bytes * chosen_ratio
        else:
            total += tensor.stored_bytes
    return round(total)


def ceiling_tokens_per_s(bytes_a_token: int, bandwidth_gb_s: float) -> float:
    return bandwidth_gb_s * 1e9 / bytes_a_token
