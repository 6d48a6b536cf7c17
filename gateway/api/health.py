"""What probes and scrapers ask."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from gateway.scrape import render_metrics
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
async def metrics(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Response[bytes]:
    """Show every metric in Prometheus's text format, or as OpenMetrics with exemplars to who accepts that."""
    openmetrics = "application/openmetrics-text" in request.headers.get("accept", "")
    exposition, content_type = render_metrics(gateway, openmetrics=openmetrics)
    # As a media type, Litestar would append a second charset.
    return Response(exposition, headers={"content-type": content_type})
