"""Load a real model through mlx-lm, fit it to the device, warm it up and measure what it holds."""

import gc
import textwrap
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load as mlx_lm_load

from gateway import wire
from gateway.contracts.variants import EngineSpec
from gateway.engine import device
from gateway.engine.loading import EngineSettings, LoadedModel, LoadError
from gateway.engine.mlx_runner import MlxRunner
from gateway.engine.mlx_tokenizer import WrappedTokenizer
from gateway.engine.model_files import read_model_files
from gateway.engine.runner import RowSpec
from gateway.errors import InvalidRequest

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
        device.set_limits(cache_limit_bytes=settings.cache_limit_bytes)
        model, tokenizer, dequantised = _load_weights(directory)
        active_bytes = _settled_active_bytes()

        def make_runner() -> MlxRunner:
            return MlxRunner(
                model,
                end_tokens=tokenizer.eos_token_ids,
                max_rows=spec.max_rows,
                prefill_step_tokens=settings.prefill_step_tokens,
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
    return LoadedModel(tokenizer=WrappedTokenizer(tokenizer), make_runner=make_runner, ready=ready)


def _load_weights(directory: Path) -> tuple[Any, Any, bool]:
    """Return the model and its tokenizer, both mlx-lm's and untyped, and whether the weights were dequantised."""
    # Lazily, so that weights which are to be dequantised never exist twice as a whole.
    model: Any
    tokenizer: Any
    model, tokenizer = mlx_lm_load(str(directory), lazy=True)[:2]
    if not all(hasattr(cache, "merge") for cache in make_prompt_cache(model)):
        raise LoadError(f"{directory} keeps a cache that mlx-lm cannot batch; choose a model that decodes in batches.")
    dequantised = device.prepare_weights(model)
    mx.eval(model.parameters())  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
    return model, tokenizer, dequantised


def _warm_up(runner: MlxRunner) -> None:
    """Decode two tokens, so that no request pays for compiling kernels, and leave no trace of it in the figures."""
    runner.insert(RowSpec(row=0, prompt=(0, 0), max_tokens=2, temperature=0.0, top_p=1.0, seed=None))
    while not any(token.finish_reason for token in runner.step()):
        pass
    runner.close()
    _settled_active_bytes()


def _settled_active_bytes() -> int:
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()
    return mx.get_active_memory()
