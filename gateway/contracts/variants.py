"""What is judged and promoted: the Variant, and the EngineSpec that it needs resident."""

import enum
from functools import cached_property
from typing import Literal

import msgspec

from gateway.contracts.digests import digest_of, short


class EngineKind(enum.StrEnum):
    MLX = "mlx"
    SCRIPTED = "scripted"
    """The shipped fake: deterministic answers, delays and faults read from a `scripted.toml`."""


class Quantization(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weights are stored, as their `config.json` says."""

    bits: int
    group_size: int
    mode: str = "affine"


KvBits = Literal[4, 8]
KvGroupSize = Literal[32, 64, 128]


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person may add to a model's own files; it becomes part of the EngineSpec."""

    adapter: str | None = None
    """Directory of a LoRA adapter that mlx-lm trained for this model."""
    draft: str | None = None
    """Directory of a smaller model with the same vocabulary, which proposes tokens that this one checks."""
    kv_bits: KvBits | None = None
    """Quantises the key-value cache; None keeps it as the model computes it."""
    kv_group_size: KvGroupSize = 64


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """What must be resident to decode. Two variants with equal engine digests share one engine."""

    kind: EngineKind
    path: str
    """Absolute directory of the weights. Where they lie is not what they are: the digest leaves it out."""
    weights_digest: str
    """Digest over every file that the engine reads: weights, configuration, tokenizer, chat template."""
    tokenizer_digest: str = ""
    """Over the tokenizer's files alone, to tell what two variants differ in; no part of the digest, which has them
    already. Empty of an engine without files, and in variants from before it was kept."""
    quantization: Quantization | None
    context_length: int
    """Tokens, prompt and completion together."""
    max_rows: int
    """Requests that decode together at most."""
    weights_bytes: int
    """Bytes of tensors as stored, read from the safetensors headers."""
    kv_bytes_per_token: int
    """Bytes of key-value cache that one token of one row holds."""
    disk_bytes: int
    adapter_path: str | None = None
    adapter_digest: str | None = None
    draft_path: str | None = None
    draft_digest: str | None = None
    kv_bits: KvBits | None = None
    kv_group_size: KvGroupSize = 64

    @property
    def one_at_a_time(self) -> bool:
        """Whether it serves one request at a time: mlx-lm batches neither a quantised cache nor a draft model."""
        return self.kv_bits is not None or self.draft_path is not None

    @cached_property
    def digest(self) -> str:
        """Options that are not used are no part of it, so those that come later change no digest from before."""
        parts: dict[str, object] = {
            "kind": self.kind,
            "weights_digest": self.weights_digest,
            "context_length": self.context_length,
            "max_rows": self.max_rows,
        }
        if self.adapter_digest is not None:
            parts["adapter_digest"] = self.adapter_digest
        if self.draft_digest is not None:
            parts["draft_digest"] = self.draft_digest
        if self.kv_bits is not None:
            parts |= {"kv_bits": self.kv_bits, "kv_group_size": self.kv_group_size}
        return digest_of(parts)


class PromptSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands around the user's messages."""

    system: str | None = None
    """Put before the messages of a request that brings no system message of its own."""
    template_digest: str = ""
    """Digest of the chat template, empty where the model has none."""
    template_arguments: dict[str, bool | int | float | str] = {}


class SamplingDefaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request gets where it does not say."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 takes all."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    @property
    def digest_parts(self) -> dict[str, float]:
        """What the digest of a Variant is made of: those that came later are a part of it only where they act."""
        later = {"top_k": self.top_k, "min_p": self.min_p, "repetition_penalty": self.repetition_penalty}
        without_effect = msgspec.structs.asdict(SamplingDefaults())
        acting = {name: value for name, value in later.items() if value != without_effect[name]}
        return {"temperature": self.temperature, "top_p": self.top_p, **acting}


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may ask for."""

    max_completion_tokens: int | None = None
    """Tokens generated at most; None leaves what the context leaves."""


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Immutable and content-addressed. The name is a label: the digest says what answers."""

    name: str
    engine: EngineSpec
    prompt: PromptSpec = PromptSpec()
    sampling: SamplingDefaults = SamplingDefaults()
    limits: Limits = Limits()

    @cached_property
    def digest(self) -> str:
        return digest_of(
            {
                "engine": self.engine.digest,
                "prompt": self.prompt,
                "sampling": self.sampling.digest_parts,
                "limits": self.limits,
            }
        )

    @property
    def reference(self) -> str:
        """`name@digest`, the digest in its short form."""
        return f"{self.name}@{short(self.digest)}"
