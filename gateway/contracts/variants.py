"""What is judged and promoted: the Variant, and the EngineSpec that it needs resident."""

import enum

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


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be resident to decode. Two variants with equal engine digests share one engine."""

    kind: EngineKind
    path: str
    """Absolute directory of the weights. Where they lie is not what they are: the digest leaves it out."""
    weights_digest: str
    """Digest over every file that the engine reads: weights, configuration, tokenizer, chat template."""
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

    @property
    def digest(self) -> str:
        return digest_of(
            {
                "kind": self.kind,
                "weights_digest": self.weights_digest,
                "context_length": self.context_length,
                "max_rows": self.max_rows,
            }
        )


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


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may ask for."""

    max_completion_tokens: int | None = None
    """Tokens generated at most; None leaves what the context leaves."""


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable and content-addressed. The name is a label: the digest says what answers."""

    name: str
    engine: EngineSpec
    prompt: PromptSpec = PromptSpec()
    sampling: SamplingDefaults = SamplingDefaults()
    limits: Limits = Limits()

    @property
    def digest(self) -> str:
        return digest_of(
            {
                "engine": self.engine.digest,
                "prompt": self.prompt,
                "sampling": self.sampling,
                "limits": self.limits,
            }
        )

    @property
    def reference(self) -> str:
        """`name@digest`, the digest in its short form."""
        return f"{self.name}@{short(self.digest)}"
