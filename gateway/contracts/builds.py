"""`/admin/builds`: models that the gateway makes of others, each in a child process, one at a time."""

import enum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PROVENANCE_FILE = "gateway-build.json"
"""Beside the weights of a build, with a `Provenance`. No engine reads it, so it is no part of any digest."""

BUILD_VERSION = 1
"""Raised when the same order makes another result; part of what builds are named by."""

Bits = Literal[2, 3, 4, 5, 6, 8]
GroupSize = Literal[32, 64, 128]


class BuildKind(enum.StrEnum):
    QUANTISE = "quantise"
    FUSE = "fuse"
    """An adapter into its base, in float; a quantised base is dequantised first. With `bits`, quantised after that."""
    TRAIN = "train"
    """A small LoRA adapter on the examples given."""
    # Planted faults: what a judge must catch. Each claims to be a true build, and is spoilt in one way.
    REQUANTISED_FUSE = "requantised_fuse"
    """Fused into the quantised base and quantised again to its bits, which rounds a small adapter away."""
    DROPPED_ADAPTER = "dropped_adapter"
    WRONG_TEMPLATE = "wrong_template"
    """The chat template of another family of models."""
    SHUFFLED_LAYER = "shuffled_layer"
    """The weights of two layers are exchanged."""
    TRUNCATED_TOKENIZER = "truncated_tokenizer"
    """The later half of the tokenizer's merges is lost."""

    @property
    def is_fault(self) -> bool:
        return self not in {BuildKind.QUANTISE, BuildKind.FUSE, BuildKind.TRAIN}

    @property
    def needs_adapter(self) -> bool:
        return self in {BuildKind.FUSE, BuildKind.REQUANTISED_FUSE, BuildKind.DROPPED_ADAPTER}

    @property
    def needs_bits(self) -> bool:
        return self in {BuildKind.QUANTISE, BuildKind.REQUANTISED_FUSE}


class TrainingMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Meta(min_length=1)]


class TrainingExample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    messages: Annotated[tuple[TrainingMessage, ...], Meta(min_length=1)]
    answer: Annotated[str, Meta(min_length=1)]
    """What is learnt: the loss is over these tokens alone."""


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    examples: Annotated[tuple[TrainingExample, ...], Meta(min_length=1, max_length=1000)]
    steps: Annotated[int, Meta(ge=1, le=2000)] = 40
    """Examples that are seen, one a step. What is learnt depends on them alone, never on the time that they take."""
    rank: Annotated[int, Meta(ge=1, le=64)] = 8
    layers: Annotated[int, Meta(ge=1, le=256)] = 8
    """The last of the model's, where it has as many."""
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    limit_s: Annotated[float, Meta(gt=0, le=3600)] = 300.0
    """Training that takes longer fails and leaves nothing. No part of what the adapter is known by."""


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/builds`. The same order again answers with the build that is there."""

    kind: BuildKind
    model: str | None = None
    """An absolute directory, or a registered variant's name or `name@digest`; None takes the embedded default model,
    unquantised."""
    adapter: str | None = None
    """An absolute directory, as `mlx_lm.lora` writes it."""
    bits: Bits | None = None
    """None leaves the result in float, where the kind allows it."""
    group_size: GroupSize = 64
    training: Training | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What a build was made of."""

    kind: BuildKind
    digest: str
    """Of the order: kind, content of model and adapter, settings, version of the builder."""
    model: str
    """Directory of what it was made of."""
    model_digest: str
    adapter: str | None = None
    adapter_digest: str | None = None
    bits: int | None = None
    group_size: int | None = None
    dequantised_base: bool = False
    """The base was quantised, and was dequantised before anything else: it keeps the error of its quantisation."""
    reference: str | None = None
    """Directory of the model in float that this one should equal but for quantisation; None where it is in float
    itself, or an adapter."""
    base: str | None = None
    """Directory of the model without the adapter that is in this one."""
    versions: dict[str, str] = {}
    """Of mlx and mlx-lm."""
    created_at: str = ""
    took_s: float | None = None
    """Of the job that made it, beside whatever else the machine did; None in builds from before it was written down."""


class BuildState(enum.StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BuildView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """The digest of the order, short; also the name of the directory."""
    kind: BuildKind
    state: BuildState
    progress: float
    """The share that is done, in [0, 1]."""
    message: str
    """What is being done, or why it failed."""
    path: str
    """Directory of the result, which is there when the build is done."""
    cached: bool = False
    """It was there before this order."""
    provenance: Provenance | None = None
