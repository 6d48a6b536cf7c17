"""The arithmetic before a load."""

from gateway.contracts.variants import EngineKind, EngineSpec, Quantization
from gateway.fleet.budget import resident_bytes, shortfall

GIB = 1024**3


def spec(weights_bytes: int, quantization: Quantization | None) -> EngineSpec:
    return EngineSpec(
        kind=EngineKind.MLX,
        path="/models/m",
        weights_digest="d",
        quantization=quantization,
        context_length=4096,
        max_rows=16,
        weights_bytes=weights_bytes,
        kv_bytes_per_token=98_304,
        disk_bytes=weights_bytes,
    )


def test_weights_are_resident_as_they_are_stored() -> None:
    assert resident_bytes(spec(1000, Quantization(bits=5, group_size=64)), dequantise=False) == 1000


def test_dequantised_weights_take_four_bytes_each() -> None:
    parameters = 1_000_000
    stored = parameters * 5.5 / 8  # 5 bits and a 16-bit scale and bias for 64 weights
    assert resident_bytes(spec(round(stored), Quantization(bits=5, group_size=64)), dequantise=True) == 4 * parameters


def test_half_precision_doubles_where_it_is_held_as_float32() -> None:
    assert resident_bytes(spec(1000, None), dequantise=True) == 2000


def test_one_production_model_fits_and_two_do_not() -> None:
    model, limit = round(19.55 * GIB), round(25.559e9)
    assert shortfall(model, loaded_bytes=[], limit_bytes=limit, reserve_bytes=GIB) is None
    words = shortfall(model, loaded_bytes=[model], limit_bytes=limit, reserve_bytes=GIB)
    assert words is not None
    assert "19.55 GiB for its weights" in words
    assert "40.10 GiB, over the limit of 23.80 GiB" in words


def test_the_last_byte_decides() -> None:
    assert shortfall(60, loaded_bytes=[30], limit_bytes=100, reserve_bytes=10) is None
    assert shortfall(61, loaded_bytes=[30], limit_bytes=100, reserve_bytes=10) is not None
