"""Orders of the jobs that run in a child process of their own, because they need MLX."""

from typing import Annotated, Literal

import msgspec

from gateway.contracts.builds import Bits, BuildKind, GroupSize, Provenance

CONVERSION_VERSION = 1
"""Raised when a conversion's result for the same file changes; part of what caches of converted models are keyed by."""


class ConvertRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.engine.convert`: make a model directory of a GGUF file."""

    gguf: str
    out: str
    """The directory to make; it must not exist."""


class QuantizeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.engine.quantize`: make builds of one model at several bit widths."""

    model: str
    """The directory of an unquantised model."""
    bits: Annotated[tuple[Literal[2, 3, 4, 5, 6, 8], ...], msgspec.Meta(min_length=1)]
    group_size: Literal[32, 64, 128] = 64
    """Weights that share a scale and a bias."""
    out: dict[int, str]
    """For each of `bits` the directory to make; it must not exist."""


class FetchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.engine.fetch`: bring a Hugging Face repository's files here."""

    repo: str
    """`organisation/name`."""


class ProbeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.engine.probe`: ask the device. Nothing to say."""


class LimitsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.engine.limits`: set MLX's limits as an engine does, and read them back."""

    cache_limit_bytes: int
    memory_limit_bytes: int


class BuildOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.engine.build`: make one build. The gateway has checked what it names."""

    kind: BuildKind
    model: str
    """The directory of the model that it is made of."""
    adapter: str | None = None
    bits: Bits | None = None
    group_size: GroupSize = 64
    training: str | None = None
    """A JSON file with a `Training`."""
    provenance: Provenance
    """Put beside the result, with what the job alone knows."""
    out: str
    """The directory to make; it must not exist."""
    memory_limit_bytes: int | None = None
