"""Load a real model through mlx-lm, fit it to the device, warm it up and measure what it holds."""

import gc
import textwrap
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten  # pyright: ignore[reportUnknownVariableType] - partly typed
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache
from mlx_lm.utils import load as mlx_lm_load
from mlx_lm.utils import load_adapters

from gateway import wire
from gateway.contracts.variants import EngineSpec
from gateway.engine import device
from gateway.engine.grammar import grammars_of
from gateway.engine.kv_run import can_be_cut
from gateway.engine.loading import EngineSettings, LoadedModel, LoadError
from gateway.engine.mlx_runner import MlxRunner
from gateway.engine.mlx_tokenizer import WrappedTokenizer
from gateway.engine.prefix_cache import PrefixCache
from gateway.engine.prefix_store import PrefixStore
from gateway.engine.runner import RowSpec, Runner
from gateway.engine.scoring import score
from gateway.engine.single_runner import SingleRunner
from gateway.errors import InvalidRequest
from gateway.models.model_files import read_model_files

_FOREIGN_ERRORS = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ImportError)
"""What mlx-lm, MLX and transformers raise about files that are not what they expect."""
_REASON_LENGTH = 300


def load_mlx(spec: EngineSpec, settings: EngineSettings) -> LoadedModel:
    """Load, prepare and warm up. `load_time_s` counts from here: imports are the process's and not the model's.

    Raises LoadError.
    """
    started = time.perf_counter()
    directory = Path(spec.path)
    try:
        read_model_files(directory)
        device.set_limits(cache_limit_bytes=settings.cache_limit_bytes, memory_limit_bytes=settings.memory_limit_bytes)
        model, tokenizer, dequantised = _load_weights(directory)
        if spec.adapter_path is not None:
            _load_adapter(model, spec.adapter_path)
        draft = _load_weights(Path(spec.draft_path))[0] if spec.draft_path is not None else None
        _check_cache(spec, model, draft)
        active_bytes = _settled_active_bytes()
        step_bytes = bytes_read_per_step(model)
        prefixes = _prefix_cache(spec, settings, model)

        def make_runner() -> Runner:
            if spec.one_at_a_time:
                return SingleRunner(
                    model,
                    draft=draft,
                    kv_bits=spec.kv_bits,
                    kv_group_size=spec.kv_group_size,
                    end_tokens=tokenizer.eos_token_ids,
                    prefill_step_tokens=settings.prefill_step_tokens,
                )
            return MlxRunner(
                model,
                end_tokens=tokenizer.eos_token_ids,
                max_rows=spec.max_rows,
                prefill_step_tokens=settings.prefill_step_tokens,
                step_bytes=step_bytes,
                prefixes=prefixes,
            )

        _warm_up(make_runner())
    except InvalidRequest as error:
        raise LoadError(error.message) from error
    except _FOREIGN_ERRORS as error:
        # One line, and not all of the thousand tensors that one missing file leaves out.
        reason = textwrap.shorten(str(error), _REASON_LENGTH, placeholder=" ...") or type(error).__name__
        raise LoadError(f"{directory} cannot be loaded ({reason}); convert it with mlx-lm or copy it again.") from error
    about = device.describe()
    ready = wire.Ready(
        device=about.name,
        dequantised=dequantised,
        load_time_s=time.perf_counter() - started,
        active_after_load_bytes=active_bytes,
        context_length=spec.context_length,
        recommended_working_set_bytes=about.recommended_working_set_bytes,
        chip=about.chip,
    )
    return LoadedModel(
        tokenizer=WrappedTokenizer(tokenizer, grammars_of(tokenizer)),
        make_runner=make_runner,
        scorer=partial(score, model, chunk_tokens=settings.score_chunk_tokens),
        ready=ready,
    )


def _load_weights(directory: Path) -> tuple[Any, Any, bool]:
    """Return the model and its tokenizer, both mlx-lm's and untyped, and whether the weights were dequantised."""
    # Lazily, so that weights which are to be dequantised never exist twice as a whole.
    model: Any
    tokenizer: Any
    model, tokenizer = mlx_lm_load(str(directory), lazy=True)[:2]
    dequantised = device.prepare_weights(model)
    mx.eval(model.parameters())  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
    return model, tokenizer, dequantised


def _load_adapter(model: Any, path: str) -> None:
    """Put the adapter beside the weights, which may have been dequantised: it does not change them.

    Raises LoadError.
    """
    try:
        load_adapters(model, path)
    except _FOREIGN_ERRORS as error:
        reason = textwrap.shorten(str(error), _REASON_LENGTH, placeholder=" ...") or type(error).__name__
        raise LoadError(
            f"The adapter {path} does not fit the model ({reason}); give the one that was trained on this model."
        ) from error
    model.eval()  # New layers are born in training mode, where their dropout draws.
    device.prepare_weights(model)
    mx.eval(model.parameters())  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments


def _check_cache(spec: EngineSpec, model: Any, draft: Any) -> None:
    """Raise LoadError where the model's cache does not do what the spec's way to decode needs."""
    cache = make_prompt_cache(model)
    if not spec.one_at_a_time and not all(hasattr(layer, "merge") for layer in cache):
        raise LoadError(f"{spec.path} keeps a cache that mlx-lm cannot batch; choose a model that decodes in batches.")
    if draft is not None and not can_trim_prompt_cache(cache + make_prompt_cache(draft)):
        raise LoadError(f"{spec.path} or {spec.draft_path} keeps a cache that takes no token back; leave draft out.")
    if spec.kv_bits is not None and not all(hasattr(layer, "to_quantized") for layer in cache):
        raise LoadError(f"{spec.path} keeps a cache that mlx-lm cannot quantise; leave kv_bits out.")


def bytes_read_per_step(model: nn.Module) -> int:
    """Return the bytes of weights that decoding one token reads: of a layer of experts, those that one token takes."""
    arguments = getattr(model, "args", None)
    experts = getattr(arguments, "num_experts", None) or getattr(arguments, "num_local_experts", None) or 0
    taken = getattr(arguments, "num_experts_per_tok", None) or experts
    total = 0.0
    weights: dict[str, mx.array] = {}
    tree_flatten(model.parameters(), destination=weights)
    for array in weights.values():
        of_experts = experts > 0 and array.ndim >= 3 and array.shape[0] == experts  # noqa: PLR2004 - experts x out x in
        total += array.nbytes * (taken / experts if of_experts else 1.0)
    return int(total)


def _prefix_cache(spec: EngineSpec, settings: EngineSettings, model: nn.Module) -> PrefixCache | None:
    """Return the engine's prefix cache, None where the settings or the model's kind of KV leave none.

    Raises LoadError.
    """
    if not settings.prefix_cache_bytes or spec.one_at_a_time or not can_be_cut(make_prompt_cache(model)):
        return None
    store = None
    if settings.prefix_cache_dir is not None:
        about = device.describe()
        try:
            store = PrefixStore(
                Path(settings.prefix_cache_dir),
                engine=f"{spec.digest} {about.name} {version('mlx')}",
                limit_bytes=settings.prefix_cache_dir_bytes,
            )
        except OSError as error:
            raise LoadError(
                f"The prefix cache's directory {error.filename} cannot be used ({error.strerror}); choose another."
            ) from error
    return PrefixCache(limit_bytes=settings.prefix_cache_bytes, store=store)


def _warm_up(runner: Runner) -> None:
    """Decode two tokens, so that no request pays for compiling kernels, and leave no trace of it in the figures."""
    runner.insert(RowSpec(row=0, prompt=(0, 0), max_tokens=2, sampling=wire.Sampling(temperature=0.0)))
    while not any(token.finish_reason for token in runner.step()):
        pass
    runner.close()
    _settled_active_bytes()


def _settled_active_bytes() -> int:
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()
    return mx.get_active_memory()
