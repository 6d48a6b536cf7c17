"""What is done without Metal. That weights stay as they are with it is a check of `gateway doctor --deep`."""

from typing import Any, cast

import mlx.core as mx
import pytest
from mlx import nn, utils

from gateway.engine import device


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, 64)
        self.linear = nn.Linear(64, 64, bias=True)


def _dtypes(model: nn.Module) -> set[Any]:
    flatten = cast("Any", utils.tree_flatten)  # pyright: ignore[reportUnknownMemberType] - typed in part only
    return {array.dtype for _, array in flatten(model.parameters())}


def _quantize(model: nn.Module) -> None:
    nn.quantize(model, group_size=64, bits=4)  # pyright: ignore[reportUnknownMemberType] - typed in part only


@pytest.mark.skipif(device.has_metal(), reason="with Metal quantised weights are used as they are")
def test_without_metal_each_weight_becomes_exactly_the_value_it_stands_for() -> None:
    model: Any = TwoLayers()
    model.set_dtype(mx.float16)
    _quantize(model)
    linear = model.linear
    parts = (linear.weight, linear.scales.astype(mx.float32), linear.biases.astype(mx.float32))
    expected = mx.dequantize(*parts, group_size=64, bits=4)
    assert device.prepare_weights(model)
    assert mx.array_equal(model.linear.weight, expected).item()
    assert isinstance(model.embedding, nn.Embedding)
    assert _dtypes(model) == {mx.float32}


@pytest.mark.skipif(device.has_metal(), reason="with Metal half precision is used as it is")
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
def test_without_metal_half_precision_is_widened_and_that_is_no_dequantising(dtype: Any) -> None:
    model = TwoLayers()
    model.set_dtype(dtype)
    assert not device.prepare_weights(model)
    assert _dtypes(model) == {mx.float32}


def test_memory_is_counted_by_mlx_and_by_the_system() -> None:
    before = device.memory()
    array = mx.zeros((1024, 1024))
    mx.eval(array)  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
    after = device.memory()
    assert after.active_bytes >= before.active_bytes + array.nbytes
    assert after.footprint_bytes > array.nbytes


def test_the_device_has_a_name_and_a_chip() -> None:
    about = device.describe()
    assert about.name in {"cpu", "metal"}
    assert about.chip
    assert (about.recommended_working_set_bytes is None) == (about.name == "cpu")
