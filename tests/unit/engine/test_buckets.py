import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.buckets import Shape, place

WEIGHTS = 12_000.0
"""About what reading SmolLM2's weights is in tokens of its KV."""


def _shape(*lengths: int) -> Shape:
    shape = Shape()
    for length in lengths:
        shape = shape.joined_by(length)
    return shape


def _partition(lengths: list[int], weights_in_tokens: float = WEIGHTS) -> list[list[int]]:
    buckets: list[list[int]] = []
    for length in lengths:
        index = place(
            length, [_shape(*bucket) for bucket in buckets], weights_in_tokens=weights_in_tokens, most_buckets=4
        )
        if index is None:
            buckets.append([length])
        else:
            buckets[index].append(length)
    return buckets


def test_the_first_row_opens_a_bucket() -> None:
    assert place(5, [], weights_in_tokens=WEIGHTS, most_buckets=4) is None


def test_rows_of_like_length_decode_together() -> None:
    assert len(_partition([100, 200, 150, 300] * 4)) == 1


def test_a_long_row_is_kept_apart_from_fifteen_short_ones() -> None:
    assert _partition([100] * 15 + [6000]) == [[100] * 15, [6000]]


def test_short_rows_leave_a_long_one_once_their_padding_costs_more_than_the_weights() -> None:
    partition = _partition([6000] + [100] * 15)
    assert partition == [[6000, 100, 100], [100] * 13]


def test_where_the_weights_are_dear_even_a_long_row_joins() -> None:
    """A dense model of 19.5 GiB with 96 KiB a token: 213,000 tokens of KV are one reading of its weights."""
    assert len(_partition([100] * 15 + [6000], weights_in_tokens=213_000)) == 1


def test_a_row_joins_the_bucket_of_its_length() -> None:
    buckets = [_shape(100, 110), _shape(6000)]
    assert place(120, buckets, weights_in_tokens=WEIGHTS, most_buckets=4) == 0
    assert place(5500, buckets, weights_in_tokens=WEIGHTS, most_buckets=4) == 1


def test_no_more_buckets_are_opened_than_allowed() -> None:
    assert place(10, [_shape(*[6000] * 4)], weights_in_tokens=0, most_buckets=1) == 0


@given(st.lists(st.integers(1, 8192), min_size=1, max_size=64), st.floats(0, 1e6))
def test_no_bucket_wastes_more_than_one_reading_of_the_weights_while_another_may_be_opened(
    lengths: list[int], weights_in_tokens: float
) -> None:
    partition = _partition(lengths, weights_in_tokens)
    assert sorted(length for bucket in partition for length in bucket) == sorted(lengths)
    if len(partition) < 4:
        assert all(_shape(*bucket).padding <= weights_in_tokens for bucket in partition)


@pytest.mark.parametrize("lengths", [(7,), (3, 9), (5, 5, 5)])
def test_padding_is_the_rectangle_without_the_tokens(lengths: tuple[int, ...]) -> None:
    assert _shape(*lengths).padding == len(lengths) * max(lengths) - sum(lengths)


def test_many_that_come_together_open_a_bucket_at_once_instead_of_parting_one_by_one() -> None:
    long = _shape(6000)
    assert place(100, [long], alike=1, weights_in_tokens=WEIGHTS, most_buckets=4) == 0
    assert place(100, [long], alike=15, weights_in_tokens=WEIGHTS, most_buckets=4) is None
