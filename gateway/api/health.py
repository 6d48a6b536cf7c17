"""What probes and scrapers ask."""

from litestar import Response, get
from litestar.di import NamedDependency

from gateway.service import Gateway, Readiness


@get("/health")
async def health() -> dict[str, str]:
    """Answer while the process lives, whatever its engines do."""
    return {"status": "alive"}


@get("/ready")
async def ready(gateway: NamedDependency[Gateway]) -> Response[Readiness]:
    """Answer 200 where a request would be served now, else 503; the body says why."""
    readiness = gateway.readiness()
    return Response(readiness, status_code=200 if readiness.ready else 503)


@get("/metrics")
async def metrics(gateway: NamedDependency[Gateway]) -> Response[bytes]:
    """Show every metric in Prometheus's text format."""
    exposition, content_type = gateway.render_metrics()
    # As a media type, Litestar would append a second charset.
    return Response(exposition, headers={"content-type": content_type})
