"""What a model's JSON files say about serving it: context, cache, quantisation, sampling, chat template."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

import msgspec

from gateway.contracts.chat import MinP, RepetitionPenalty, Temperature, TopP
from gateway.contracts.digests import digest_of
from gateway.contracts.variants import Quantization, SamplingDefaults
from gateway.models.unreadable import read_json_object, unreadable

_CACHE_ELEMENT_BYTES = 2
"""Keys and values are held in 16 bits, whatever the weights are quantised to."""

_ADVICE: Mapping[str, object] = {
    "temperature": Temperature,
    "top_p": TopP,
    "top_k": Annotated[int, msgspec.Meta(ge=0)],
    "min_p": MinP,
    "repetition_penalty": RepetitionPenalty,
}
"""What of `generation_config.json` is read, and as what."""
_ALIASES = {
    "max_position_embeddings": ("n_positions", "max_sequence_length", "seq_length"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "hidden_size": ("n_embd", "d_model"),
}
"""Older architectures' own names, as mlx-lm reads them."""


class Configuration:
    """A `config.json`; a model that also sees or hears keeps the text model's part in `text_config`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._whole = read_json_object(file)
        nested = self._whole.get("text_config")
        self._text = {**self._whole, **cast("dict[str, object]", nested)} if isinstance(nested, dict) else self._whole

    @property
    def context_length(self) -> int:
        """Tokens of prompt and completion together."""
        return self._required("max_position_embeddings")

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token of one row holds: 2 (keys, values) x layers x heads of them x width of one x 2 bytes."""
        heads = self._required("num_attention_heads")
        kv_heads = self._optional("num_key_value_heads") or heads
        return 2 * self._required("num_hidden_layers") * kv_heads * self.head_dim * _CACHE_ELEMENT_BYTES

    @property
    def vocabulary_size(self) -> int:
        return self._required("vocab_size")

    @property
    def head_dim(self) -> int:
        """Width of one head's keys and values."""
        return self._optional("head_dim") or self._required("hidden_size") // self._required("num_attention_heads")

    @property
    def quantization(self) -> Quantization | None:
        """As the weights are stored; layers that differ from the rest are not told."""
        said = self._whole.get("quantization", self._text.get("quantization"))
        if said is None:
            return None
        match said:
            case {"bits": int(bits), "group_size": int(group_size)}:
                mode = cast("dict[str, object]", said).get("mode", "affine")
                return Quantization(bits=bits, group_size=group_size, mode=str(mode))
            case _:
                raise unreadable(f"{self._file} says quantization without bits and group_size: convert the model again")

    def _required(self, key: str) -> int:
        value = self._optional(key)
        if value is None:
            raise unreadable(f"{self._file} does not say {key}: add it, as the model's publisher states it")
        return value

    def _optional(self, key: str) -> int | None:
        for name in (key, *_ALIASES.get(key, ())):
            value = self._text.get(name)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise unreadable(
                    f"{self._file} says {name} = {value!r}, and it must be a whole number above 0: correct it"
                )
            return value
        return None


def sampling_defaults(directory: Path) -> SamplingDefaults:
    """Return what `generation_config.json` advises, and what has no effect where it says nothing."""
    file = directory / "generation_config.json"
    if not file.exists():
        return SamplingDefaults()
    said = {key: value for key, value in read_json_object(file).items() if value is not None}
    advised: dict[str, float] = {
        key: _number(file, key, said[key], kind) for key, kind in _ADVICE.items() if key in said
    }
    return msgspec.structs.replace(SamplingDefaults(), **advised)


def template_digest(directory: Path) -> str:
    """Return the digest of the chat template, or the empty string where the model has none.

    A file of its own goes before the tokenizer's configuration, as it does in transformers.
    """
    file = directory / "chat_template.jinja"
    if file.exists():
        return hashlib.sha256(file.read_bytes()).hexdigest()
    tokenizer = directory / "tokenizer_config.json"
    template = read_json_object(tokenizer).get("chat_template") if tokenizer.exists() else None
    if not template:
        return ""
    return hashlib.sha256(template.encode()).hexdigest() if isinstance(template, str) else digest_of(template)


def _number(file: Path, key: str, value: object, kind: object) -> float:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise unreadable(f"{file} says {key} = {value!r} ({error}): correct it") from error
