"""Put a LoRA adapter into the weights it was trained for."""

import textwrap
from pathlib import Path
from typing import Any

from mlx.utils import tree_unflatten  # pyright: ignore[reportUnknownVariableType] - its stub has a bare dict
from mlx_lm.utils import load_adapters

from gateway.engine.job import JobError

_REASON_LENGTH = 300


def fuse_in_float(model: Any, adapter: Path) -> None:
    """Add the adapter's product to the float weights of a model, in place. Raises JobError where it does not fit."""
    put_beside(model, adapter)
    fuse_layers(model, dequantise=True)


def put_beside(model: Any, adapter: Path) -> None:
    """Load the adapter's layers over those that it changes. Raises JobError."""
    try:
        load_adapters(model, str(adapter))
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = textwrap.shorten(str(error), _REASON_LENGTH, placeholder=" ...") or type(error).__name__
        raise JobError(
            f"The adapter {adapter} does not fit the model ({reason}); give the one that was trained on this model."
        ) from error
    model.eval()


def fuse_layers(model: Any, *, dequantise: bool) -> None:
    """Replace each adapted layer by one whose weights hold both; in float, or at the bits that it had."""
    fused = [
        (name, module.fuse(dequantize=dequantise)) for name, module in model.named_modules() if hasattr(module, "fuse")
    ]
    if not fused:
        raise JobError("The adapter changes no layer of the model; give the one that was trained on this model.")
    model.update_modules(tree_unflatten(fused))
