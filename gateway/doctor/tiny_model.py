"""A model for the deep checks where none is named: two small random layers, written without MLX and without a download.

It has a tokenizer of bytes, and says nothing but printable ASCII: the other rows of its last layer are zero, so that
its likeliest token is never one of them. It never ends by itself, and its text is tokenised as it was generated.
"""

import json
import random
import struct
from pathlib import Path
from typing import Any, NamedTuple

_LAYERS = 2
_WIDTH = 128
_INNER = 256
_HEADS = 2
_END = 256
"""The one token beside the bytes."""
_VOCABULARY = 320
_CONTEXT = 8192
_SPREAD = 0.3
"""Of the weights: wide enough that the likeliest token depends on the prompt."""
_SEED = 5
_PRINTABLE = range(0x21, 0x7F)
_SHIFT = 256
"""A byte that is no printable character is written as one from there on, in byte-level vocabularies."""
_TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


class _Tensor(NamedTuple):
    """In float16."""

    shape: tuple[int, ...]
    values: list[float]


def write_tiny_model(directory: Path) -> Path:
    """Write it in float16 and return the directory; the same bytes each time."""
    directory.mkdir(parents=True)
    configuration: dict[str, Any] = {
        "model_type": "llama",
        "hidden_size": _WIDTH,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "rms_norm_eps": 1e-5,
        "vocab_size": _VOCABULARY,
        "max_position_embeddings": _CONTEXT,
        "tie_word_embeddings": False,
        "eos_token_id": _END,
    }
    _write_json(directory / "config.json", configuration)
    _write_json(directory / "tokenizer.json", _tokenizer())
    _write_json(
        directory / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}
    )
    (directory / "chat_template.jinja").write_text(_TEMPLATE)
    _write_safetensors(directory / "model.safetensors", _tensors())
    return directory


def _tensors() -> dict[str, _Tensor]:
    draw = random.Random(_SEED)  # noqa: S311 - weights, no secrets

    def matrix(rows: int, columns: int) -> _Tensor:
        return _Tensor((rows, columns), [draw.gauss(0, _SPREAD) for _ in range(rows * columns)])

    ones = _Tensor((_WIDTH,), [1.0] * _WIDTH)
    tensors = {"model.embed_tokens.weight": matrix(_VOCABULARY, _WIDTH), "model.norm.weight": ones}
    for number in range(_LAYERS):
        layer = f"model.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{layer}.self_attn.{name}.weight"] = matrix(_WIDTH, _WIDTH)
        for name in ("gate_proj", "up_proj"):
            tensors[f"{layer}.mlp.{name}.weight"] = matrix(_INNER, _WIDTH)
        tensors[f"{layer}.mlp.down_proj.weight"] = matrix(_WIDTH, _INNER)
        tensors[f"{layer}.input_layernorm.weight"] = ones
        tensors[f"{layer}.post_attention_layernorm.weight"] = ones
    last = [draw.gauss(0, _SPREAD) if row in _PRINTABLE else 0.0 for row in range(_VOCABULARY) for _ in range(_WIDTH)]
    return {**tensors, "lm_head.weight": _Tensor((_VOCABULARY, _WIDTH), last)}


def _tokenizer() -> dict[str, Any]:
    """Return a byte-level vocabulary without merges: each token is the byte of its number."""
    foreign = [byte for byte in range(256) if not _stands_for_itself(byte)]
    letters = [chr(byte) if _stands_for_itself(byte) else chr(_SHIFT + foreign.index(byte)) for byte in range(256)]
    special = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "added_tokens": [{"id": _END, "content": "<end>", **special}],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {**{letter: number for number, letter in enumerate(letters)}, "<end>": _END},
            "merges": [],
        },
    }


def _stands_for_itself(byte: int) -> bool:
    return byte in _PRINTABLE or 0xA1 <= byte <= 0xAC or byte >= 0xAE  # noqa: PLR2004 - Latin-1's printable ranges


def _write_safetensors(file: Path, tensors: dict[str, _Tensor]) -> None:
    """Write the format: the header's length in eight bytes, the header in JSON, the tensors one after another."""
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    stored = {name: struct.pack(f"<{len(tensor.values)}e", *tensor.values) for name, tensor in tensors.items()}
    offset = 0
    for name, content in stored.items():
        shape = tensors[name].shape
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(stored.values()))


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value))
