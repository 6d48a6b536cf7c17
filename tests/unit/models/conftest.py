"""A small model directory: real files with real headers, and weights of nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIG = {
    "model_type": "llama",
    "max_position_embeddings": 2048,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 64,
    "quantization": {"bits": 5, "group_size": 64, "mode": "affine"},
}


def write_safetensors(file: Path, *sizes_bytes: int) -> None:
    """Write a file of one tensor a size."""
    header: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    end = 0
    for number, size_bytes in enumerate(sizes_bytes):
        header[f"t{number}"] = {"dtype": "U8", "shape": [size_bytes], "data_offsets": [end, end + size_bytes]}
        end += size_bytes
    encoded = json.dumps(header).encode()
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"\x01" * end)


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(CONFIG))
        (directory / "tokenizer.json").write_text("{}")
        (directory / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
        write_safetensors(directory / "model.safetensors", 100, 23)
        return directory

    return make


@pytest.fixture
def model(make_model: Callable[[str], Path]) -> Path:
    return make_model("tutor")
