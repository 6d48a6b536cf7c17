"""What a scrape shows: the counts as they stand, and the gauges as everything is at that moment."""

from gateway.contracts.evaluations import Role
from gateway.contracts.scheduling import SchedulingClass
from gateway.service import Gateway
from gateway.status import memory_of


def render_metrics(gateway: Gateway, *, openmetrics: bool = False) -> tuple[bytes, str]:
    """Return every metric and the content type."""
    metrics, fleet = gateway.metrics, gateway.fleet
    incumbents = {variant.engine.digest: variant.engine for _, variant in gateway.incumbents()}
    metrics.engines.observed(
        ((Role.INCUMBENT if view.engine_digest in incumbents else Role.CANDIDATE, view) for view in gateway.engines()),
        on_demand=any(map(fleet.on_demand, incumbents.values())),
    )
    metrics.queue.observed(
        running=fleet.running_count,
        queued={each: fleet.waiting_count(each) for each in SchedulingClass},
    )
    caches = [engine.prefix_cache for engine in fleet.engines]
    metrics.engines.memory_observed(
        memory_of(fleet),
        prefix_cache_held_bytes=sum(cache.held_bytes for cache in caches),
        prefix_cache_stored_bytes=sum(cache.stored_bytes for cache in caches),
    )
    metrics.evaluations.runs_observed(run.progress for run in gateway.runs.current())
    return metrics.render(openmetrics=openmetrics)
