"""Make the Variant of a model directory."""

from pathlib import Path

import msgspec

from gateway.contracts.scripted import SCRIPT_FILE, read_script
from gateway.contracts.variants import EngineKind, EngineSpec, PromptSpec, Variant
from gateway.models.configuration import Configuration, sampling_defaults, template_digest
from gateway.models.digest import TOKENIZER_PATTERNS, DigestCache, OnProgress, content_digest
from gateway.models.safetensors import tensor_bytes, weight_files
from gateway.models.source import variant_name
from gateway.models.unreadable import read_json_object, unreadable


def read_model_directory(
    path: Path, *, max_rows: int, digest_cache: DigestCache, on_progress: OnProgress, name: str | None = None
) -> Variant:
    """Validate a model's files and return the Variant that they make. Blocks: run it in a thread.

    The name defaults to the directory's. Raises InvalidRequest (MODEL_UNREADABLE), one sentence with the file and the
    remedy.
    """
    directory = path.resolve()
    name = name or variant_name(str(directory))
    try:
        if (directory / SCRIPT_FILE).exists():
            return Variant(name=name, engine=_scripted_engine(directory, max_rows, digest_cache, on_progress))
        _require_files(directory)
        prompt = PromptSpec(template_digest=template_digest(directory))
        sampling = sampling_defaults(directory)
        engine = _mlx_engine(directory, max_rows, digest_cache, on_progress)
    except OSError as error:
        raise unreadable(f"{error.filename or directory} cannot be read ({error.strerror}): restore it") from error
    return Variant(name=name, engine=engine, prompt=prompt, sampling=sampling)


def _mlx_engine(directory: Path, max_rows: int, digest_cache: DigestCache, on_progress: OnProgress) -> EngineSpec:
    # The headers first: they say within milliseconds what hashing would find out after minutes.
    configuration = Configuration(directory / "config.json")
    return EngineSpec(
        kind=EngineKind.MLX,
        path=str(directory),
        quantization=configuration.quantization,
        context_length=configuration.context_length,
        max_rows=max_rows,
        weights_bytes=sum(tensor_bytes(file) for file in weight_files(directory)),
        kv_bytes_per_token=configuration.kv_bytes_per_token,
        disk_bytes=sum(file.stat().st_size for file in directory.iterdir() if file.is_file()),
        weights_digest=content_digest(directory, cache=digest_cache, on_progress=on_progress),
        tokenizer_digest=content_digest(
            directory, cache=digest_cache, on_progress=on_progress, patterns=TOKENIZER_PATTERNS
        ),
    )


def _scripted_engine(directory: Path, max_rows: int, digest_cache: DigestCache, on_progress: OnProgress) -> EngineSpec:
    try:
        script = read_script(directory)
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise unreadable(f"{directory / SCRIPT_FILE} cannot be used ({error}): correct it") from error
    return EngineSpec(
        kind=EngineKind.SCRIPTED,
        path=str(directory),
        quantization=None,
        context_length=script.context_length,
        max_rows=max_rows,
        weights_bytes=script.weights_bytes,
        kv_bytes_per_token=script.kv_bytes_per_token,
        disk_bytes=script.disk_bytes,
        weights_digest=content_digest(directory, cache=digest_cache, on_progress=on_progress),
    )


def _require_files(directory: Path) -> None:
    if not directory.is_dir():
        raise unreadable(f"the model directory {directory} does not exist: give the one that holds the model's files")
    if not (directory / "config.json").exists():
        raise unreadable(
            f"{directory} has no config.json, so it is no model: give the directory that holds config.json,"
            " tokenizer.json and the model*.safetensors files"
        )
    tokenizer = directory / "tokenizer.json"
    if not tokenizer.exists():
        raise unreadable(f"{directory} has no tokenizer.json: copy it from the model that this one was made of")
    read_json_object(tokenizer)
