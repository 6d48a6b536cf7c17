"""The arithmetic before a load and before a request."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.variants import EngineKind, EngineSpec, Quantization
from gateway.fleet.budget import (
    Holding,
    Machine,
    longest_row_tokens,
    memory_is_back,
    never_fits,
    planned_kv_bytes,
    resident_bytes,
    resident_kv_bytes_per_token,
    shortfall,
)

GIB = 1024**3
KIB = 1024


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
    assert resident_kv_bytes_per_token(spec(1000, None), dequantise=True) == 2 * 98_304
    assert resident_kv_bytes_per_token(spec(1000, None), dequantise=False) == 98_304


def test_rows_are_padded_to_the_longest_in_blocks_of_256_and_counted_twice() -> None:
    assert planned_kv_bytes([], 10) == 0
    assert planned_kv_bytes([1], 10) == 2 * 256 * 10
    assert planned_kv_bytes([256], 10) == 2 * 256 * 10
    assert planned_kv_bytes([1, 1, 257], 10) == 2 * 3 * 512 * 10


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_the_longest_row_that_fits_is_the_longest(kv_bytes: int, bytes_per_token: int) -> None:
    tokens = longest_row_tokens(kv_bytes, bytes_per_token)
    assert planned_kv_bytes([tokens] if tokens else [], bytes_per_token) <= kv_bytes
    assert planned_kv_bytes([tokens + 1], bytes_per_token) > kv_bytes


def test_one_production_model_fits_and_two_do_not() -> None:
    machine = Machine(limit_bytes=round(25.559e9), reserve_bytes=GIB)
    model = Holding(fixed_bytes=round(19.55 * GIB), kv_floor_bytes=planned_kv_bytes([8192], 96 * KIB))
    assert shortfall(model, [], machine) is None
    words = shortfall(model, [model], machine)
    assert words is not None
    assert "19.55 GiB for its weights" in words
    assert "1.50 GiB for its first requests" in words
    assert "43.10 GiB, over the limit of 23.80 GiB" in words


def test_the_last_byte_decides() -> None:
    machine = Machine(limit_bytes=100, reserve_bytes=10)
    loaded = Holding(fixed_bytes=20, kv_floor_bytes=10)
    assert shortfall(Holding(fixed_bytes=50, kv_floor_bytes=10), [loaded], machine) is None
    assert shortfall(Holding(fixed_bytes=51, kv_floor_bytes=10), [loaded], machine) is not None


def test_an_engine_keeps_its_floor_and_whatever_it_plans_beyond() -> None:
    machine = Machine(limit_bytes=100, reserve_bytes=10)
    own = Holding(fixed_bytes=20, kv_floor_bytes=10)
    assert machine.kv_room_bytes(own) == 70
    assert machine.kv_room_bytes(own, [Holding(fixed_bytes=20, kv_floor_bytes=10, kv_planned_bytes=3)]) == 40
    assert machine.kv_room_bytes(own, [Holding(fixed_bytes=20, kv_floor_bytes=10, kv_planned_bytes=30)]) == 20


def test_a_request_that_can_never_fit_is_told_the_arithmetic_and_nothing_of_context() -> None:
    machine = Machine(limit_bytes=24 * GIB, reserve_bytes=GIB)
    own = Holding(fixed_bytes=20 * GIB, kv_floor_bytes=GIB)
    assert never_fits(16_384, 96 * KIB, own, machine) is None
    words = never_fits(16_385, 96 * KIB, own, machine)
    assert words is not None
    assert "context" not in words
    for figure in ("16385 tokens of 96 KiB", "3.05 GiB", "24.00 GiB", "20.00 GiB", "1.00 GiB", "leave 3.00 GiB"):
        assert figure in words


@given(held=st.integers(1, 64 * GIB), before=st.integers(0, 64 * GIB), needed=st.integers(0, 64 * GIB))
def test_memory_is_back_where_it_suffices_or_has_grown_by_what_was_held(held: int, before: int, needed: int) -> None:
    def back(now: int) -> bool:
        return memory_is_back(needed_bytes=needed, held_bytes=held, before_bytes=before, now_bytes=now)

    assert back(before + held)
    assert back(needed)
    assert back(before) == (before >= needed)
