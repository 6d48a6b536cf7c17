"""A histogram for what happens with every token of every stream.

prometheus_client's own takes a lock and walks the buckets, twice the time that a token may cost here. This one belongs
to the event loop alone, which both observes and scrapes.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Series:
    """The observations under one set of label values."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """In each bucket alone; the last is beyond all bounds."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class QuickHistogram(Collector):
    def __init__(
        self, name: str, documentation: str, labelnames: Sequence[str], *, unit: str, buckets: Sequence[float]
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labelnames = labelnames
        self._unit = unit
        self._bounds = tuple(buckets)
        self._le = [*(str(float(bound)) for bound in buckets), "+Inf"]
        self._series: dict[tuple[str, ...], Series] = {}

    def labels(self, *values: str) -> Series:
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Series(self._bounds)
        return series

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames, unit=self._unit)
        for values, series in self._series.items():
            buckets = [(le, float(count)) for le, count in zip(self._le, accumulate(series.counts), strict=True)]
            family.add_metric(values, buckets, series.total)
        yield family
