"""The tokenizer of a GGUF file, written as the files that transformers and mlx-lm read."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from gateway.engine.gguf_metadata import GgufMetadata
from gateway.engine.job import JobError

_CONTROL = 3
_USER_DEFINED = 4
"""Token types of llama.cpp (`llama_token_type`)."""


def write_tokenizer(metadata: GgufMetadata, out: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja.

    Raises JobError where the vocabulary is not SmolLM's kind of byte-level BPE: another one cuts text differently.
    """
    kind = metadata.text("tokenizer.ggml.model"), metadata.text("tokenizer.ggml.pre")
    if kind != ("gpt2", "smollm"):
        raise JobError(f"The GGUF file's tokenizer is {kind[0]}/{kind[1]}; only gpt2/smollm can be converted.")
    tokens = metadata.texts("tokenizer.ggml.tokens")
    _byte_level_bpe(metadata, tokens).save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps(_configuration(metadata, tokens), indent=2) + "\n")
    if template := metadata.optional_text("tokenizer.chat_template"):
        (out / "chat_template.jinja").write_text(template)


def _byte_level_bpe(metadata: GgufMetadata, tokens: list[str]) -> Tokenizer:
    merges = [tuple(merge.split(" ")) for merge in metadata.texts("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(
        models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[(a, b) for a, b in merges])
    )
    digits_first = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(digits_first)
    tokenizer.decoder = decoders.ByteLevel()
    types = metadata.integers("tokenizer.ggml.token_type")
    whole = {_CONTROL: True, _USER_DEFINED: False}
    for token, token_type in zip(tokens, types, strict=True):
        if token_type in whole:
            added = AddedToken(token, special=whole[token_type], normalized=False)
            tokenizer.add_tokens([added])  # pyright: ignore[reportUnknownMemberType] - its stub types no elements
    return tokenizer


def _configuration(metadata: GgufMetadata, tokens: list[str]) -> dict[str, object]:
    configuration: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": metadata.flag("tokenizer.ggml.add_bos_token"),
        "add_prefix_space": metadata.flag("tokenizer.ggml.add_space_prefix"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata.integer("llama.context_length"),
    }
    for name, key in {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}.items():
        index = metadata.optional_integer(f"tokenizer.ggml.{key}_token_id")
        if index is not None:
            configuration[f"{name}_token"] = tokens[index]
    return configuration
