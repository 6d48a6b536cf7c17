"""The registry as the rest of the gateway sees it."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.contracts.admin import EvaluationSummary, VariantView
from gateway.contracts.deployments import Deployment, GatePolicy, Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.files import FileState
from gateway.contracts.keys import KeyGrant
from gateway.contracts.variants import Variant
from gateway.registry import deployments, evaluations, file_digests, keys, variants
from gateway.registry.database import Database
from gateway.registry.deployments import Change
from gateway.registry.keys import IssuedKey

Check = Callable[[Deployment, Evaluation | None], None]
"""Raises PromotionRefused or another GatewayError where the change must not be made."""


class Registry:
    """All methods run in transactions on one thread of their own. A disk error is a GatewayError of one sentence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, state_dir: Path) -> "Registry":
        """Open or create `registry.sqlite3` and bring it to this version. Raises StartError."""
        registry = cls(Database(state_dir / "registry.sqlite3"))
        await registry._database.open()
        return registry

    async def close(self) -> None:
        await self._database.close()

    # --- variants ---

    async def add_variant(self, variant: Variant) -> VariantView:
        """Register; the same content under the same name again only updates where its files lie."""
        return await self._database.transact(lambda connection: variants.add(connection, variant, _now()))

    async def variant(self, reference: str) -> VariantView:
        """Find by name (the latest registered), `name@digest`, digest, or 8 and more digits of one.

        Raises NotFound (VARIANT_NOT_FOUND), also where the digits fit several.
        """
        return await self._database.transact(lambda connection: variants.find(connection, reference))

    async def variants(self) -> tuple[VariantView, ...]:
        """Return all, in the order of registration."""
        return await self._database.transact(variants.all_views)

    async def archive_variant(self, digest: str) -> None:
        """Note that the files of the Variant of this digest are gone. Registering it again takes that back."""
        await self._database.transact(lambda connection: variants.archive(connection, digest, _now()))

    # --- deployments ---

    async def deployments(self) -> tuple[Deployment, ...]:
        return await self._database.transact(deployments.everything)

    async def deployment(self, model: str) -> Deployment:
        """Raise NotFound (MODEL_NOT_FOUND) where nothing is deployed under that name."""
        return await self._database.transact(lambda connection: deployments.find(connection, model))

    async def create_deployment(self, model: str, *, incumbent: str, gate: GatePolicy) -> Deployment:
        """Create it with the Variant of this digest and record the BOOTSTRAP Promotion."""
        change = Change(model=model, to_variant=incumbent, kind=PromotionKind.BOOTSTRAP, at=_now())
        return await self._database.transact(lambda connection: deployments.create(connection, change, gate))

    async def delete_deployment(self, model: str) -> None:
        """Forget the Deployment, if there is one; its audit log stays."""
        await self._database.transact(lambda connection: deployments.delete(connection, model))

    async def replace_incumbent(
        self,
        model: str,
        *,
        expected_revision: int,
        to_variant: str,
        kind: PromotionKind,
        check: Check,
        evaluation_id: str | None = None,
        reason: str | None = None,
        pin_suite_digest: str | None = None,
    ) -> tuple[Deployment, Promotion]:
        """Change the incumbent to the Variant of this digest and record it, if `check` raises nothing.

        `check` gets the Deployment and the Evaluation as they are inside the same transaction, on the registry's
        thread. Raises RevisionConflict, PromotionRefused, NotFound, or what `check` raises; then nothing is changed.
        """
        change = Change(
            model=model, to_variant=to_variant, kind=kind, at=_now(), evaluation_id=evaluation_id, reason=reason
        )

        def replace(connection: sqlite3.Connection) -> tuple[Deployment, Promotion]:
            before = deployments.require_changeable(connection, change, expected_revision)
            evaluation = evaluations.find(connection, evaluation_id) if evaluation_id is not None else None
            check(before, evaluation)
            cited = msgspec.structs.replace(change, evaluation_id=evaluation.id if evaluation is not None else None)
            return deployments.apply(connection, cited, before, pin_suite_digest)

        return await self._database.transact(replace)

    async def record_promotion(
        self,
        model: str,
        *,
        to_variant: str,
        kind: PromotionKind,
        outcome: PromotionOutcome,
        reason: str,
        evaluation_id: str | None = None,
    ) -> Promotion:
        """Write into the audit log that a change was attempted and failed, or what is wrong with one that was made."""
        change = Change(
            model=model, to_variant=to_variant, kind=kind, at=_now(), evaluation_id=evaluation_id, reason=reason
        )
        return await self._database.transact(lambda connection: deployments.record(connection, change, outcome))

    async def previous_incumbent(self, model: str) -> str:
        """Return the digest that a rollback goes back to. Raises GateError (NOTHING_TO_ROLL_BACK)."""
        return await self._database.transact(lambda connection: deployments.previous_incumbent(connection, model))

    async def promotions(self, model: str | None = None) -> tuple[Promotion, ...]:
        """Return the audit log, newest first."""
        return await self._database.transact(lambda connection: deployments.promotions(connection, model))

    # --- evaluations ---

    async def add_evaluation(self, evaluation: Evaluation) -> EvaluationSummary:
        """Record it for good. Raises GateError (EVALUATION_EXISTS) where the id is taken."""
        return await self._database.transact(lambda connection: evaluations.add(connection, evaluation))

    async def evaluation(self, evaluation_id: str) -> Evaluation:
        """Find by id or by a prefix of it that only one has. Raises NotFound."""
        return await self._database.transact(lambda connection: evaluations.find(connection, evaluation_id))

    async def last_evaluations(self, *, limit: int) -> tuple[Evaluation, ...]:
        """Return the last of each model and suite, the last recorded at the end; of the newest pairs so many."""
        return await self._database.transact(lambda connection: evaluations.last(connection, limit))

    async def evaluations(self) -> tuple[EvaluationSummary, ...]:
        """Return all, the last recorded first."""
        return await self._database.transact(evaluations.summaries)

    # --- API keys ---

    async def keys(self) -> tuple[IssuedKey, ...]:
        """Return those that are not revoked, by name."""
        return await self._database.transact(keys.everything)

    async def add_key(self, name: str, grant: KeyGrant, secret_digest: bytes) -> IssuedKey:
        """Raise GateError (KEY_EXISTS) where the name was ever given."""
        return await self._database.transact(
            lambda connection: keys.add(connection, name, grant, secret_digest, _now())
        )

    async def rotate_key(self, name: str, secret_digest: bytes, *, previous_until_s: float | None) -> IssuedKey:
        """Change the secret; the one until now lives until that Unix time. Raises NotFound (KEY_NOT_FOUND)."""
        return await self._database.transact(
            lambda connection: keys.rotate(connection, name, secret_digest, _now(), previous_until_s=previous_until_s)
        )

    async def revoke_key(self, name: str) -> None:
        """Forget its secrets, for good. Raises NotFound (KEY_NOT_FOUND)."""
        await self._database.transact(lambda connection: keys.revoke(connection, name, _now()))

    # --- digests of files: called from the thread that reads a model, never on the event loop ---

    def cached_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int) -> str | None:
        state = FileState(path=path, size_bytes=size_bytes, mtime_ns=mtime_ns, inode=inode)
        return self._database.transact_from_thread(lambda connection: file_digests.find(connection, state))

    def store_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int, digest: str) -> None:
        state = FileState(path=path, size_bytes=size_bytes, mtime_ns=mtime_ns, inode=inode)
        self._database.transact_from_thread(lambda connection: file_digests.store(connection, state, digest))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
