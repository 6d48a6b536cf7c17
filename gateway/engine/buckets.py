"""Which rows decode together. Pure.

mlx-lm keeps the KV of a batch as a rectangle, rows x longest row, and a decode step reads all of it; another batch
reads the weights once more. So padding is weighed against weights, in one unit: the tokens of KV that have as many
bytes as one reading of the weights.
"""

from collections.abc import Sequence

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket as its KV sees it. Lengths are in tokens."""

    rows: int = 0
    longest: int = 0
    tokens: int = 0
    """The rows' lengths together."""

    @property
    def padding(self) -> int:
        return self.rows * self.longest - self.tokens

    def joined_by(self, length: int, rows: int = 1) -> "Shape":
        """Return the shape with so many rows of that length more."""
        return Shape(rows=self.rows + rows, longest=max(self.longest, length), tokens=self.tokens + rows * length)


def place(
    length: int, buckets: Sequence[Shape], *, alike: int = 1, weights_in_tokens: float, most_buckets: int
) -> int | None:
    """Return the index of the bucket that a row of `length` tokens joins, or None where it opens one of its own.

    `alike` is how many rows of about its length come now, itself included: they will want the same bucket.

    It joins where it adds the least padding, unless all the padding there would then cost more than reading the
    weights once more. All of it decides and not the row's own part: else short rows would join a long one for ever,
    each too cheap to part.
    """
    if not buckets:
        return None
    joined = [bucket.joined_by(length, alike) for bucket in buckets]
    best = min(range(len(buckets)), key=lambda index: joined[index].padding - buckets[index].padding)
    if joined[best].padding > weights_in_tokens and len(buckets) < most_buckets:
        return None
    return best
