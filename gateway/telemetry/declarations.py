"""How a metric is declared, once: from that come its series and its line on the reference page (`METRICS.md`)."""

import itertools
from collections.abc import Iterable
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from gateway.telemetry.quick_histogram import QuickHistogram

_UNITS = ("seconds", "bytes", "ratio")
"""Prometheus's base units, which end the names of what is measured in them."""

# A second series with the time of birth for every counter and histogram; Prometheus knows it from the first scrape.
disable_created_metrics()


class Label(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    values: tuple[str, ...] = ()
    """All that there are, where they can be listed."""
    said: str = ""
    """What they are, where they cannot: a name of the registry (`BoundedNames`), or one of a table elsewhere."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One metric as it is scraped, and what the reference page says of it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[Label, ...]
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """Of Prometheus's base units; empty of what is counted or said."""
        return _unit(self.name.removesuffix("_total"))


def closed(name: str, values: Iterable[str]) -> Label:
    """Return a label that has no other values than these."""
    return Label(name=name, values=tuple(str(value) for value in values))


def described(name: str, said: str) -> Label:
    """Return a label of which the reference page says what its values are."""
    return Label(name=name, said=said)


class Declarations:
    """Makes the metrics of one gateway, on a registry of their own, and remembers what was declared."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.families: list[Family] = []

    def counter(self, name: str, said: str, *labels: Label) -> Counter:
        """Declare a count; it is scraped as `{name}_total`.

        Where all its labels are closed it is there from the start, at 0: Prometheus does not see how much a series has
        grown by when it meets it first, and the first refusal may be the one that matters.
        """
        self.families.append(Family(name=f"{name}_total", kind="counter", help=said, labels=labels))
        counter = Counter(name, said, _names(labels), unit=_unit(name), registry=self.registry)
        if labels:
            for values in itertools.product(*(label.values for label in labels)):
                counter.labels(*values)
        return counter

    def gauge(self, name: str, said: str, *labels: Label) -> Gauge:
        self.families.append(Family(name=name, kind="gauge", help=said, labels=labels))
        return Gauge(name, said, _names(labels), unit=_unit(name), registry=self.registry)

    def histogram(self, name: str, said: str, *labels: Label, buckets: tuple[float, ...]) -> Histogram:
        self.families.append(Family(name=name, kind="histogram", help=said, labels=labels, buckets=buckets))
        return Histogram(name, said, _names(labels), unit=_unit(name), buckets=buckets, registry=self.registry)

    def quick_histogram(self, name: str, said: str, *labels: Label, buckets: tuple[float, ...]) -> QuickHistogram:
        """Declare a histogram of what happens with every token; scraped like any other, without exemplars."""
        self.families.append(Family(name=name, kind="histogram", help=said, labels=labels, buckets=buckets))
        histogram = QuickHistogram(name, said, _names(labels), unit=_unit(name), buckets=buckets)
        self.registry.register(histogram)
        return histogram


def _names(labels: tuple[Label, ...]) -> tuple[str, ...]:
    return tuple(label.name for label in labels)


def _unit(name: str) -> str:
    return next((unit for unit in _UNITS if name.endswith(f"_{unit}")), "")
