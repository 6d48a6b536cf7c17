"""The quick histogram shows what prometheus_client's own would."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from gateway.telemetry.quick_histogram import QuickHistogram

BUCKETS = (0.001, 0.01, 0.5, 2.5)


@given(st.lists(st.one_of(st.sampled_from(BUCKETS), st.floats(0, 10)), min_size=1))
def test_it_shows_what_the_official_one_shows(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = QuickHistogram("wait_seconds", "Said.", ("model",), unit="seconds", buckets=BUCKETS)
    ours.register(quick)
    official = Histogram("wait_seconds", "Said.", ("model",), unit="seconds", buckets=BUCKETS, registry=theirs)
    for value in values:
        quick.labels("tutor").observe(value)
        official.labels("tutor").observe(value)
    assert generate_latest(ours) == generate_latest(theirs)
