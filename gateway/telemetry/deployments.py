"""Who answers for a model, and how that changed."""

from gateway.contracts.admin import SwapWay
from gateway.contracts.deployments import Promotion, PromotionKind, PromotionOutcome
from gateway.telemetry.declarations import Declarations, closed, described
from gateway.telemetry.names import BoundedNames
from gateway.telemetry.requests import MODEL

_GAP_BUCKETS_S = (0.0, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
_KINDS = [kind for kind in PromotionKind if kind is not PromotionKind.BOOTSTRAP]
"""A model's first incumbent is no change of one: it is in the audit log, once, and in no count since a start."""
_WAY = closed("way", SwapWay)


class DeploymentMetrics:
    def __init__(self, declare: Declarations, models: BoundedNames) -> None:
        self._models = models
        self._incumbents: dict[str, tuple[str, str, str]] = {}
        self._incumbent = declare.gauge(
            "gateway_incumbent_info",
            "1 for the variant that answers for a model.",
            *(MODEL, described("variant", "an incumbent's name"), described("digest", "an incumbent's digest")),
        )
        self._promotions = declare.counter(
            "gateway_promotions",
            "Changes of an incumbent, done and failed; a model's first incumbent is none.",
            *(MODEL, closed("kind", _KINDS), closed("outcome", PromotionOutcome)),
        )
        self._swaps = declare.counter(
            "gateway_swaps",
            "Exchanges of a serving engine, by how they ended: done, or the error's code.",
            *(
                MODEL,
                _WAY,
                described("outcome", "of `gateway_swaps_total`: `done`, or a code of `contracts/error_codes.py`"),
            ),
        )
        self._swap_gap = declare.histogram(
            "gateway_swap_gap_seconds",
            "For so long a swap left a model without an engine that takes requests; 0 where both engines fit.",
            *(MODEL, _WAY),
            buckets=_GAP_BUCKETS_S,
        )

    def incumbent_changed(self, *, model: str, variant: str, digest: str) -> None:
        """State who answers for a model; its earlier incumbent's series ends. From here on the model has its label."""
        self._incumbents[model] = (self._models.admit(model), variant, digest)
        self._incumbent.clear()
        for labels in self._incumbents.values():
            self._incumbent.labels(*labels).set(1)

    def promotion_finished(self, promotion: Promotion) -> None:
        model = self._models.find(promotion.model)
        self._promotions.labels(model, promotion.kind.value, promotion.outcome.value).inc()

    def swap_finished(self, *, model: str, way: SwapWay, outcome: str, gap_s: float) -> None:
        """Count a swap that ended; `outcome` is `done` or an error's code."""
        self._swaps.labels(self._models.find(model), way.value, outcome).inc()
        self._swap_gap.labels(self._models.find(model), way.value).observe(gap_s)
