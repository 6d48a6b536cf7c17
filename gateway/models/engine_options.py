"""Add what a person declares beside a model's files to its EngineSpec: an adapter, a draft model, a quantised cache."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.contracts.variants import EngineKind, EngineOptions, EngineSpec, KvBits, KvGroupSize
from gateway.errors import InvalidRequest
from gateway.models.adapter import FILES, check_adapter
from gateway.models.configuration import Configuration
from gateway.models.digest import DigestCache, OnProgress, content_digest
from gateway.models.directory import read_model_directory
from gateway.models.source import path_of
from gateway.models.unreadable import unreadable

_CACHE_ELEMENT_BITS = 16
_SCALE_AND_BIAS_BITS = 32
"""One float16 scale and one float16 bias a group."""


def with_options(
    engine: EngineSpec,
    options: EngineOptions,
    *,
    relative_allowed: bool,
    digest_cache: DigestCache,
    on_progress: OnProgress,
) -> EngineSpec:
    """Return the EngineSpec with the options in it; what they do not name stays as it is. Blocks.

    Raises InvalidRequest (MODEL_UNREADABLE) whose `param` is the option at fault.
    """
    if engine.kind is not EngineKind.MLX and (options.adapter or options.draft or options.kv_bits):
        raise unreadable("adapter, draft and kv_bits are for MLX models, and this one is scripted: leave them out")
    if options.adapter is not None:
        with _blaming("adapter"):
            _refuse_second(engine.adapter_path)
            path = path_of(options.adapter, relative_allowed=relative_allowed)
            engine = _with_adapter(engine, path, digest_cache, on_progress)
    if options.draft is not None:
        with _blaming("draft"):
            _refuse_second(engine.draft_path)
            path = path_of(options.draft, relative_allowed=relative_allowed)
            engine = _with_draft(engine, path, digest_cache, on_progress)
    if options.kv_bits is not None:
        with _blaming("kv_bits"):
            _refuse_second(engine.kv_bits)
            engine = _with_quantised_cache(engine, options.kv_bits, options.kv_group_size)
    return msgspec.structs.replace(engine, max_rows=1) if engine.one_at_a_time else engine


def _refuse_second(present: object) -> None:
    """Refuse an option that the registered variant named as the source has already."""
    if present is not None:
        raise unreadable(f"the source has one already ({present}): name the model's directory as the source")


def _with_adapter(engine: EngineSpec, path: Path, cache: DigestCache, on_progress: OnProgress) -> EngineSpec:
    directory = path.resolve()
    adapter_bytes = check_adapter(directory)
    return msgspec.structs.replace(
        engine,
        adapter_path=str(directory),
        adapter_digest=content_digest(directory, cache=cache, on_progress=on_progress, patterns=FILES),
        weights_bytes=engine.weights_bytes + adapter_bytes,
        disk_bytes=engine.disk_bytes + sum((directory / name).stat().st_size for name in FILES),
    )


def _with_draft(engine: EngineSpec, path: Path, cache: DigestCache, on_progress: OnProgress) -> EngineSpec:
    draft = read_model_directory(path, max_rows=1, digest_cache=cache, on_progress=on_progress).engine
    if draft.kind is not EngineKind.MLX:
        raise unreadable(f"{path} is scripted, and a draft model is an MLX model: give another")
    sizes = [Configuration(Path(one.path) / "config.json").vocabulary_size for one in (engine, draft)]
    if sizes[0] != sizes[1]:
        raise unreadable(
            f"the draft model {path} has a vocabulary of {sizes[1]} and the model one of {sizes[0]}: give a smaller"
            " model of the same family"
        )
    return msgspec.structs.replace(
        engine,
        draft_path=draft.path,
        draft_digest=draft.weights_digest,
        context_length=min(engine.context_length, draft.context_length),
        weights_bytes=engine.weights_bytes + draft.weights_bytes,
        kv_bytes_per_token=engine.kv_bytes_per_token + draft.kv_bytes_per_token,
        disk_bytes=engine.disk_bytes + draft.disk_bytes,
    )


def _with_quantised_cache(engine: EngineSpec, bits: KvBits, group_size: KvGroupSize) -> EngineSpec:
    for path in filter(None, (engine.path, engine.draft_path)):
        head_dim = Configuration(Path(path) / "config.json").head_dim
        if head_dim % group_size:
            raise unreadable(
                f"{path} has keys {head_dim} wide, which groups of {group_size} do not divide: set kv_group_size to"
                " a divisor, or leave kv_bits out"
            )
    stored_bits = bits + _SCALE_AND_BIAS_BITS / group_size
    return msgspec.structs.replace(
        engine,
        kv_bits=bits,
        kv_group_size=group_size,
        kv_bytes_per_token=round(engine.kv_bytes_per_token * stored_bits / _CACHE_ELEMENT_BITS),
    )


@contextmanager
def _blaming(option: str) -> Generator[None]:
    """Name the option at fault in a refusal, or where a file cannot be read."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(error.message, code=error.code, param=option) from error
    except OSError as error:
        refusal = unreadable(f"{error.filename} cannot be read ({error.strerror}): restore it")
        raise InvalidRequest(refusal.message, code=refusal.code, param=option) from error
