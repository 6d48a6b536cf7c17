import pytest

from gateway.engine.saved_model import predicted_build_bytes
from gateway.models.safetensors import Tensor


def _tensor(*shape: int) -> Tensor:
    count = 1
    for length in shape:
        count *= length
    return Tensor(dtype="F16", shape=shape, data_offsets=(0, count * 2))


@pytest.mark.parametrize(("bits", "per_weight"), [(4, 4.5), (5, 5.5), (6, 6.5), (8, 8.5)])
def test_a_matrix_takes_its_bits_and_a_scale_and_a_bias_for_each_group(bits: int, per_weight: float) -> None:
    predicted = predicted_build_bytes([_tensor(128, 256)], bits=bits, group_size=64)
    assert predicted == 128 * 256 * per_weight / 8


def test_vectors_and_matrices_of_broken_groups_stay_as_they_are() -> None:
    assert predicted_build_bytes([_tensor(64), _tensor(10, 65)], bits=4, group_size=64) == 128 + 1300
