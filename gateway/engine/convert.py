"""`python -m gateway.engine.convert`: a Llama GGUF file becomes a directory that mlx-lm loads.

The embedded model comes as such a file. Its weights keep whatever quantisation error the file has; they are stored in
float16, from which the gateway builds its variants.
"""

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx

from gateway.contracts.jobs import ConvertRequest
from gateway.engine.build_directory import build_directory, refuse_full_disk
from gateway.engine.gguf_metadata import GgufMetadata
from gateway.engine.gguf_tokenizer import write_tokenizer
from gateway.engine.job import JobError, Report, run

_GROUP_SIZE = 32
"""Elements that share a scale in GGUF's Q4_0, Q4_1 and Q8_0, which MLX keeps as its own quantised arrays."""

_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def convert(request: ConvertRequest, report: Report) -> dict[str, object]:
    """Write config.json, model.safetensors and the tokenizer's files. Raises JobError."""
    source, out = Path(request.gguf), Path(request.out)
    report(0.0, f"reading {source.name}")
    arrays, metadata = _read(source)
    if (architecture := metadata.text("general.architecture")) != "llama":
        raise JobError(f"{source} holds a model of the kind {architecture}; only llama can be converted.")
    config = _configuration(metadata, tied="output.weight" not in arrays)
    weights = _weights(arrays, heads=config["num_attention_heads"], kv_heads=config["num_key_value_heads"])
    refuse_full_disk(out, sum(weight.nbytes for weight in weights.values()))
    with build_directory(out) as directory:
        report(0.3, "writing the weights")
        mx.save_safetensors(  # pyright: ignore[reportUnknownMemberType] - its stub gives no result
            str(directory / "model.safetensors"), weights, metadata={"format": "mlx"}
        )
        report(0.8, "writing the tokenizer")
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        write_tokenizer(metadata, directory)
    return {"path": str(out)}


def _read(source: Path) -> tuple[dict[str, mx.array], GgufMetadata]:
    if not source.is_file():
        raise JobError(f"{source} is not there; give a GGUF file.")
    try:
        loaded: Any = mx.load(str(source), format="gguf", return_metadata=True)
    except RuntimeError as error:
        raise JobError(f"{source} is not a GGUF file that MLX can read ({error}); copy the file again.") from error
    return loaded[0], GgufMetadata(loaded[1])


def _configuration(metadata: GgufMetadata, *, tied: bool) -> dict[str, Any]:
    hidden_size = metadata.integer("llama.embedding_length")
    heads = metadata.integer("llama.attention.head_count")
    configuration: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden_size,
        "num_hidden_layers": metadata.integer("llama.block_count"),
        "intermediate_size": metadata.integer("llama.feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.integer("llama.attention.head_count_kv"),
        "head_dim": metadata.optional_integer("llama.rope.dimension_count") or hidden_size // heads,
        "rms_norm_eps": metadata.number("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": metadata.number("llama.rope.freq_base"),
        "max_position_embeddings": metadata.integer("llama.context_length"),
        "vocab_size": metadata.integer("llama.vocab_size"),
        "tie_word_embeddings": tied,
        "torch_dtype": "float16",
    }
    for name in ("bos", "eos"):
        token = metadata.optional_integer(f"tokenizer.ggml.{name}_token_id")
        if token is not None:
            configuration[f"{name}_token_id"] = token
    return configuration


def _weights(arrays: dict[str, mx.array], *, heads: int, kv_heads: int) -> dict[str, mx.array]:
    """Return the weights under the names of mlx-lm, dequantised, in float16."""
    weights: dict[str, mx.array] = {}
    for name, array in arrays.items():
        stem, _, part = name.rpartition(".")
        if part != "weight":
            continue
        weight = _dequantised(arrays, stem) if f"{stem}.scales" in arrays else array
        if stem.endswith(".attn_q"):
            weight = _unpermuted(weight, heads)
        elif stem.endswith(".attn_k"):
            weight = _unpermuted(weight, kv_heads)
        weights[f"{_mlx_name(stem)}.weight"] = weight.astype(mx.float16)
    return weights


def _dequantised(arrays: dict[str, mx.array], stem: str) -> mx.array:
    """Return float32 weights; the bits follow from how much narrower than its groups the packed array is."""
    packed, scales, biases = (arrays[f"{stem}.{part}"] for part in ("weight", "scales", "biases"))
    bits = packed.shape[-1] * 32 // (scales.shape[-1] * _GROUP_SIZE)
    return mx.dequantize(
        packed, scales.astype(mx.float32), biases.astype(mx.float32), group_size=_GROUP_SIZE, bits=bits
    )


def _unpermuted(weight: mx.array, heads: int) -> mx.array:
    """Undo llama.cpp's order of the rows in a head.

    Its converter interleaves the two halves of each head for its own rotary embedding (`LlamaModel.permute` in
    convert_hf_to_gguf.py); mlx-lm rotates halves, as transformers does.
    """
    rows, columns = weight.shape
    interleaved = mx.reshape(weight, (heads, rows // heads // 2, 2, columns))
    return mx.reshape(mx.swapaxes(interleaved, 1, 2), (rows, columns))


def _mlx_name(stem: str) -> str:
    if stem in _NAMES:
        return _NAMES[stem]
    prefix, block, kind = (*stem.split("."), "", "")[:3]
    if prefix != "blk" or kind not in _BLOCK_NAMES:
        raise JobError(f"The GGUF file holds a tensor `{stem}` that no Llama model has; it cannot be converted.")
    return f"model.layers.{block}.{_BLOCK_NAMES[kind]}"


if __name__ == "__main__":
    sys.exit(run(ConvertRequest, convert))
