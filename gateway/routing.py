"""Decide which Variant answers a request: pure, so that later hints and draws are parameters too."""

from collections.abc import Iterable

import msgspec

from gateway.contracts.deployments import Deployment
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Role
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import Variant
from gateway.errors import NotFound

_ECHO_LIMIT = 100
"""Characters of an unknown model's name that the error repeats."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes, and in which role what answers it stands."""

    model: str
    """The public name, as the answer repeats it."""
    role: Role
    variant: Variant
    scheduling_class: SchedulingClass
    """In which line it waits."""
    pinned: bool = False
    """Whether the request named what answers."""
    prefix_cache: bool = True
    """Whether it shares KV with other requests that begin the same."""


def deployment_of(model: str, deployments: Iterable[Deployment]) -> Deployment:
    """Return the Deployment that the request's `model` names.

    Raises NotFound (`model_not_found`), with the names that are served: no other name is ever loaded for a request.
    """
    served = {deployment.model: deployment for deployment in deployments}
    if model in served:
        return served[model]
    raise model_not_found(model, served)


def model_not_found(model: str, served: Iterable[str]) -> NotFound:
    return NotFound(
        f"The model `{model[:_ECHO_LIMIT]}` does not exist; this gateway serves: {', '.join(sorted(served))}.",
        code=ErrorCode.MODEL_NOT_FOUND,
        param="model",
    )


def choose(deployment: Deployment, incumbent: Variant, pinned: Variant | None, callers_class: SchedulingClass) -> Route:
    """Return the route of a request for the Deployment's model: to the pinned Variant, else to the incumbent.

    A pin decides what answers; the digest decides the role, so a pinned incumbent counts as the incumbent. Whoever
    pins evaluates, whatever the class of the caller's key. `incumbent` is the Variant whose digest
    `deployment.incumbent` is.
    """
    variant = pinned or incumbent
    return Route(
        model=deployment.model,
        role=Role.INCUMBENT if variant.digest == deployment.incumbent else Role.CANDIDATE,
        variant=variant,
        scheduling_class=SchedulingClass.EVALUATION if pinned else callers_class,
        pinned=pinned is not None,
    )
