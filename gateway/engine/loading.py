"""Make an engine of an EngineSpec: the tokenizer for the two threads of text, the runner for the loop."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from gateway import wire
from gateway.contracts.scripted import SCRIPT_FILE, read_script
from gateway.contracts.variants import EngineKind, EngineSpec
from gateway.engine.runner import Runner, Scorer
from gateway.engine.scripted_runner import ScriptedRunner
from gateway.engine.scripted_scoring import score_scripted
from gateway.engine.scripted_tokenizer import ScriptedTokenizer
from gateway.engine.tokenizer import Tokenizer
from gateway.models.identity import loaded_files


class LoadError(Exception):
    """The model cannot be loaded; the text is one sentence that names the file and the remedy."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the parent decides beside the EngineSpec; it changes no answer."""

    prefill_step_tokens: int = 512
    """Prompt tokens that one step works on while no row decodes; the runner gives fewer while rows do."""
    cache_limit_bytes: int | None = None
    """Freed memory that MLX keeps for reuse at most; None leaves MLX's own limit."""
    memory_limit_bytes: int | None = None
    """What MLX is to take at most, all told; None leaves MLX's own limit."""
    prefix_cache_bytes: int = 0
    """KV of prompts and answers kept for requests that begin the same; 0 keeps none."""
    prefix_cache_dir: str | None = None
    """Where what is kept is also written, to survive the process; None writes nothing."""
    prefix_cache_dir_bytes: int = 0
    score_chunk_tokens: int = 128
    """Tokens that are scored between two steps at most; so many times the vocabulary are the float32 logits that
    live at once."""


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    tokenizer: Tokenizer
    make_runner: Callable[[], Runner]
    """Called again after a step has failed; the weights stay."""
    scorer: Scorer
    ready: wire.Ready


def identify(spec: EngineSpec) -> wire.Identity:
    """Note which files are about to be opened, before they are. Raises LoadError."""
    try:
        return wire.Identity(spec=spec, files=loaded_files(spec))
    except OSError as error:
        raise LoadError(f"{error.filename} cannot be read ({error.strerror}); restore it.") from error


def load(spec: EngineSpec, settings: EngineSettings) -> LoadedModel:
    """Load the model on the calling thread, which must be the one that runs the loop. Raises LoadError."""
    match spec.kind:
        case EngineKind.SCRIPTED:
            return load_scripted(spec, settings)
        case EngineKind.MLX:
            # MLX and mlx-lm take 3 s to import: only an engine that decodes with them pays.
            from gateway.engine.mlx_model import load_mlx  # noqa: PLC0415

            return load_mlx(spec, settings)


def load_scripted(spec: EngineSpec, settings: EngineSettings) -> LoadedModel:
    started = time.perf_counter()
    path = Path(spec.path) / SCRIPT_FILE
    try:
        model = read_script(path.parent)
        ScriptedRunner(model).close()
    except OSError as error:
        raise LoadError(f"{path} cannot be read ({error.strerror}); give the directory of a scripted model.") from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise LoadError(f"{path} is not a script: {error}; correct it.") from error
    except re.error as error:
        raise LoadError(f"{path} has a `match` that is no regular expression ({error}); correct it.") from error
    time.sleep(model.load_delay_s)
    if model.load_failure is not None:
        raise LoadError(model.load_failure)
    ready = wire.Ready(
        device="scripted",
        dequantised=False,
        load_time_s=time.perf_counter() - started,
        active_after_load_bytes=model.weights_bytes,
        context_length=spec.context_length,
        recommended_working_set_bytes=None,
        chip="scripted",
    )
    return LoadedModel(
        tokenizer=ScriptedTokenizer(),
        make_runner=lambda: ScriptedRunner(model),
        scorer=partial(score_scripted, model, chunk_tokens=settings.score_chunk_tokens),
        ready=ready,
    )
