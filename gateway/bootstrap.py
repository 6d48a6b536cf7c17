"""Bring what the settings name into the registry, once: afterwards the registry says what serves."""

from collections.abc import Iterable
from pathlib import Path

import structlog

from gateway.contracts.admin import RegisterVariant, VariantView
from gateway.contracts.deployments import Deployment, GatePolicy
from gateway.contracts.suites import SEED_CRITERIA, SEED_MIN_PAIRS
from gateway.errors import GatewayError, StartError
from gateway.models import OnProgress
from gateway.registry import Registry
from gateway.service import Gateway
from gateway.settings import DeploymentSettings, GateSettings
from gateway.suites import find_suite_manifest

_log = structlog.get_logger()


async def bootstrap(
    gateway: Gateway,
    registry: Registry,
    deployments: Iterable[DeploymentSettings],
    *,
    must_match: bool,
    on_progress: OnProgress,
) -> None:
    """Register each Deployment's Variant and create the Deployment where there is none of its name.

    Where there is one, its registered incumbent serves. A source that is another Variant is then a warning, or, with
    `must_match` (the person named the model on the command line), a StartError with the remedy.
    """
    existing = {deployment.model: deployment for deployment in await gateway.deployments()}
    for settings in deployments:
        deployment = existing.get(settings.model)
        if deployment is not None and await _names_incumbent(gateway, deployment, settings):
            continue
        try:
            view = await gateway.register_variant(
                registration_of(settings), relative_allowed=True, on_progress=on_progress
            )
        except GatewayError as error:
            if deployment is None or must_match:
                raise StartError(error.message) from error
            _log.warning("configured_source_unreadable", model=settings.model, detail=error.message)
            continue
        if deployment is None:
            gate = gate_policy(settings.gate, state_dir=Path(gateway.settings.state_dir))
            gateway.adopt(await registry.create_deployment(settings.model, incumbent=view.digest, gate=gate))
        elif deployment.incumbent != view.digest:
            await _report_difference(gateway, deployment, view, must_match=must_match)


def gate_policy(settings: GateSettings, *, state_dir: Path) -> GatePolicy:
    """Return the policy of a new Deployment: what the settings say, else the suite, else the seed."""
    manifest = find_suite_manifest(settings.suite, state_dir=state_dir)
    criteria, min_pairs, profile = settings.criteria, settings.min_pairs, settings.profile
    if profile is None:
        profile = manifest.profile if manifest else "full"
    if criteria is None:
        criteria = manifest.effective_criteria() if manifest else SEED_CRITERIA
    if min_pairs is None:
        min_pairs = manifest.min_pairs if manifest else SEED_MIN_PAIRS
    return GatePolicy(
        suite=settings.suite,
        suite_digest=settings.suite_digest,
        tag=settings.tag,
        profile=profile,
        criteria=criteria,
        min_pairs=min_pairs,
        heldout_per_family=manifest.heldout.per_family if manifest and manifest.heldout else 0,
        max_age_s=settings.max_age_s,
    )


def registration_of(settings: DeploymentSettings) -> RegisterVariant:
    """Return what a caller of `POST /admin/variants` would have sent for this Deployment."""
    return RegisterVariant(
        source=settings.source,
        adapter=settings.adapter,
        draft=settings.draft,
        kv_bits=settings.kv_bits,
        kv_group_size=settings.kv_group_size,
    )


async def _names_incumbent(gateway: Gateway, deployment: Deployment, settings: DeploymentSettings) -> bool:
    """Whether the source is just the name of what serves: others may be registered under that name, and newer."""
    incumbent = (await gateway.variant(deployment.incumbent)).variant
    return registration_of(settings) == RegisterVariant(source=incumbent.name)


async def _report_difference(gateway: Gateway, deployment: Deployment, view: VariantView, *, must_match: bool) -> None:
    incumbent = (await gateway.variant(deployment.incumbent)).reference
    if must_match:
        raise StartError(
            f"{deployment.model} is served by {incumbent}, and the model given is {view.reference}. To replace it, "
            "start without --model and run `canary promote`; to serve it beside, give it another name (`model` in a "
            "configuration) or another --state-dir."
        )
    _log.warning("configured_source_differs", model=deployment.model, incumbent=incumbent, configured=view.reference)
