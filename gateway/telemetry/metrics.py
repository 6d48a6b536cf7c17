"""All metrics of one gateway. Nobody outside this package touches prometheus_client: methods say what happened.

Label values come from closed sets, or are names of the registry up to a limit, so that no client can grow the number
of series; a digest stands on `gateway_incumbent_info` alone.
"""

from importlib.metadata import version

from prometheus_client.exposition import choose_encoder

from gateway.settings import MetricsSettings
from gateway.telemetry.declarations import Declarations, Family, described
from gateway.telemetry.deployments import DeploymentMetrics
from gateway.telemetry.engines import EngineMetrics
from gateway.telemetry.evaluations import EvaluationMetrics
from gateway.telemetry.names import BoundedNames
from gateway.telemetry.queue import QueueMetrics
from gateway.telemetry.requests import RequestMetrics

_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
"""The scraper's own words choose between this and the older text, and nothing more."""


class Metrics:
    """The metrics of one gateway, on a registry of their own."""

    def __init__(self, settings: MetricsSettings | None = None) -> None:
        limit = (settings or MetricsSettings()).max_label_values
        declare = self._declarations = Declarations()
        models = BoundedNames(limit)
        self.requests = RequestMetrics(declare, models)
        self.queue = QueueMetrics(declare)
        self.engines = EngineMetrics(declare)
        self.deployments = DeploymentMetrics(declare, models)
        self.evaluations = EvaluationMetrics(declare, models, names_limit=limit)
        build = declare.gauge(
            "gateway_build_info", "1 for the version that runs.", described("version", "the package's")
        )
        build.labels(version("gateway-canary")).set(1)

    @property
    def families(self) -> tuple[Family, ...]:
        """All that is declared, in order."""
        return tuple(self._declarations.families)

    def render(self, *, openmetrics: bool = False) -> tuple[bytes, str]:
        """Return the exposition and its content type; only OpenMetrics has exemplars."""
        encode, content_type = choose_encoder(_OPENMETRICS if openmetrics else "")
        return encode(self._declarations.registry), content_type
