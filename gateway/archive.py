"""Free the disk of a Variant that nothing needs any more. It stays in the registry, and in every report."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from gateway.contracts.admin import ArchiveView, VariantView
from gateway.contracts.deployments import Deployment, Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import EngineSpec, Variant
from gateway.errors import GateError, GatewayError
from gateway.models.removal import Removal, plan_removal, remove
from gateway.registry import Registry
from gateway.settings import ArchiveSettings

_log = structlog.get_logger()


class Archive:
    def __init__(
        self,
        registry: Registry,
        *,
        is_loaded: Callable[[EngineSpec], bool],
        incumbents: Callable[[], Iterable[tuple[Deployment, Variant]]],
        one_at_a_time: asyncio.Lock,
        settings: ArchiveSettings,
        state_dir: Path,
    ) -> None:
        """`one_at_a_time` is held while incumbents change: none may become what is about to go."""
        self._registry = registry
        self._is_loaded = is_loaded
        self._incumbents = incumbents
        self._one_at_a_time = one_at_a_time
        self._settings = settings
        self._state_dir = state_dir

    async def archive(self, view: VariantView, *, dry_run: bool) -> ArchiveView:
        """Remove the Variant's files, or with `dry_run` say what would go.

        Raises GateError (VARIANT_IN_USE) for an incumbent, for what a rollback goes back to within its retention, for
        one that is loaded, and for files that are not its own alone.
        """
        async with self._one_at_a_time:
            await self._require_unused(view)
            others = [each.variant for each in await self._registry.variants() if _stays(each, view)]
            removal = await asyncio.to_thread(
                plan_removal,
                view.variant,
                others=others,
                state_dir=self._state_dir,
                digest_cache=self._registry,
            )
            if not dry_run:
                # First in the registry: after a crash in between it is archived with files left, never the reverse.
                await self._registry.archive_variant(view.digest)
                await _removed(view, removal)
            after = await self._registry.variant(view.digest)
        return ArchiveView(
            variant=after,
            dry_run=dry_run,
            directories=tuple(map(str, removal.directories)),
            files=tuple(map(str, removal.files)),
            freed_bytes=removal.freed_bytes,
            kept=removal.kept,
        )

    async def _require_unused(self, view: VariantView) -> None:
        engine = view.variant.engine
        for deployment, incumbent in self._incumbents():
            if view.digest == deployment.incumbent or engine.digest == incumbent.engine.digest:
                raise _in_use(f"{view.reference} serves {deployment.model}: promote another first")
            await self._require_no_rollback(view, deployment.model)
        if self._is_loaded(engine):
            raise _in_use(f"{view.reference} is loaded: unload its engine first (DELETE /admin/engines)")

    async def _require_no_rollback(self, view: VariantView, model: str) -> None:
        try:
            target = await self._registry.previous_incumbent(model)
        except GateError:
            return  # there is none
        if (await self._registry.variant(target)).variant.engine.digest != view.variant.engine.digest:
            return
        left_s = self._settings.rollback_retention_s - _age_s(_replaced(await self._registry.promotions(model)))
        if left_s > 0:
            raise _in_use(
                f"{view.reference} is what a rollback of {model} goes back to, and is kept for "
                f"{left_s / 3600:.0f} more hours (archive.rollback_retention_s)"
            )


def require_files(view: VariantView) -> VariantView:
    """Return a Variant that can be loaded. Raises GateError (VARIANT_ARCHIVED) for one whose files were removed."""
    if view.archived_at is not None:
        raise GateError(
            f"{view.reference} was archived at {view.archived_at}, and its files were removed: build it again, and "
            "register its directory.",
            code=ErrorCode.VARIANT_ARCHIVED,
        )
    return view


async def _removed(view: VariantView, removal: Removal) -> None:
    try:
        await asyncio.to_thread(remove, removal)
    except OSError as error:
        raise GatewayError(
            f"{error.filename} cannot be removed ({error.strerror}); {view.reference} counts as archived: remove what "
            "is left of its files yourself."
        ) from error
    _log.info("variant_archived", variant=view.reference, digest=view.digest, freed_bytes=removal.freed_bytes)


def _stays(other: VariantView, gone: VariantView) -> bool:
    return other.digest != gone.digest and other.archived_at is None


def _replaced(promotions: Iterable[Promotion]) -> str:
    """Return when the incumbent became what it is; `promotions` are newest first."""
    return next(
        promotion.at
        for promotion in promotions
        if promotion.outcome is PromotionOutcome.DONE and promotion.kind is not PromotionKind.BOOTSTRAP
    )


def _age_s(at: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()


def _in_use(sentence: str) -> GateError:
    return GateError(f"{sentence}.", code=ErrorCode.VARIANT_IN_USE)
