"""Planted faults: builds that look whole and are spoilt in one way, for a judge to be tried with."""

import json
from pathlib import Path
from typing import Any, cast

from mlx_lm import utils

from gateway.engine.fuse import fuse_layers, put_beside
from gateway.engine.job import JobError
from gateway.engine.saved_model import quantised
from gateway.models.model_files import ModelFiles

_mlx_lm = cast("Any", utils)  # Its functions are typed in part only.

WRONG_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}### Response:\n{{ message.content }}\n\n"
    "{% else %}### Instruction:\n{{ message.content }}\n\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}### Response:\n{% endif %}"
)
"""The form of another family, which no model of today's was tuned to."""

_LEAST_LAYERS = 2


def fuse_and_requantise(
    files: ModelFiles, adapter: Path, *, bits: int | None, group_size: int
) -> tuple[Any, dict[str, Any]]:
    """Fuse as mlx-lm does by default where the base is quantised: back to the base's bits, one error upon another."""
    model, config = _mlx_lm.load_model(files.directory, lazy=True)
    if not files.quantised:
        if bits is None:
            raise JobError(f"{files.directory} is not quantised; say `bits`.")
        model, config = quantised(model, config, bits=bits, group_size=group_size)
    put_beside(model, adapter)
    fuse_layers(model, dequantise=False)
    return model, config


def exchange_layers(model: Any) -> None:
    """Exchange the weights of two layers, a third of the way in and a third from the end."""
    layers = model.layers
    if len(layers) < _LEAST_LAYERS:
        raise JobError("The model has fewer than two layers; nothing can be exchanged.")
    first, second = len(layers) // 3, len(layers) - 1 - len(layers) // 3
    if first == second:
        second = first + 1
    one, other = layers[first].parameters(), layers[second].parameters()
    layers[first].update(other)
    layers[second].update(one)


def replace_template(directory: Path) -> None:
    (directory / "chat_template.jinja").write_text(WRONG_TEMPLATE)
    (directory / "chat_template.json").unlink(missing_ok=True)
    path = directory / "tokenizer_config.json"
    if path.is_file():
        config = json.loads(path.read_text())
        config.pop("chat_template", None)
        path.write_text(json.dumps(config, indent=2))


def truncate_tokenizer(directory: Path) -> None:
    """Lose the later half of the merges, as a copy of `merges.txt` does that was cut off."""
    path = directory / "tokenizer.json"
    try:
        tokenizer = json.loads(path.read_text())
        merges = tokenizer["model"]["merges"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise JobError(f"{path} has no merges that could be truncated ({type(error).__name__}).") from error
    tokenizer["model"]["merges"] = merges[: len(merges) // 2]
    path.write_text(json.dumps(tokenizer))
