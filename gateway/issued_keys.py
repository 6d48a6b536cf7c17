"""Make, list, rotate and revoke keys: in the registry, and at once in the ring of the gateway that runs."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable

import msgspec
import structlog

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.keys import CreateKey, KeyGrant, KeyOrigin, KeyRole, KeyView, NewSecret
from gateway.errors import GateError, StartError
from gateway.keys import Key, KeyRing, digest_of
from gateway.registry import IssuedKey, Registry, key_not_found

_log = structlog.get_logger(__name__)

_PREFIX = "gw-"
_SECRET_BYTES = 32


class IssuedKeys:
    """The keys of a registry, and those of the configuration as far as they forbid something here."""

    def __init__(
        self, registry: Registry, ring: KeyRing, *, serving: bool = True, now_s: Callable[[], float] = time.time
    ) -> None:
        """`serving` says that the ring guards this very door: nobody may be locked out by what is done here."""
        self._registry = registry
        self._ring = ring
        self._serving = serving
        self._now_s = now_s
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Put the issued keys beside the configured ones. Raises StartError where they contradict each other."""
        put_issued(self._ring, await self._registry.keys())

    def views(self) -> tuple[KeyView, ...]:
        """Return all, by name."""
        return tuple(sorted((key.view() for key in self._ring.everyone()), key=lambda view: view.name))

    async def create(self, body: CreateKey) -> NewSecret:
        async with self._changing:
            if self._serving and self._ring.is_open and body.role is not KeyRole.ADMIN:
                raise GateError(
                    "the first key must have the role admin: from it on every request needs a key, and only an admin's "
                    "can make others",
                    code=ErrorCode.KEY_PROTECTED,
                )
            if self._ring.find(body.name) is not None:
                raise GateError(f"there is a key {body.name} already: choose another name", code=ErrorCode.KEY_EXISTS)
            secret = _new_secret()
            grant = KeyGrant(**{field: getattr(body, field) for field in KeyGrant.__struct_fields__})
            key = _key(await self._registry.add_key(body.name, grant, digest_of(secret)))
            self._ring.put(key)
        _log.info("key_created", key=key.name, role=key.role)
        return NewSecret(key=key.view(), secret=secret)

    async def rotate(self, name: str, *, grace_s: float) -> NewSecret:
        """Give the key a new secret. The one until now ends after the grace, and the one before that at once."""
        async with self._changing:
            self._require_issued(name, "rotated")
            secret = _new_secret()
            until_s = self._now_s() + grace_s if grace_s else None
            key = _key(await self._registry.rotate_key(name, digest_of(secret), previous_until_s=until_s))
            self._ring.put(key)
        _log.info("key_rotated", key=name, grace_s=grace_s)
        return NewSecret(key=key.view(), secret=secret)

    async def revoke(self, name: str) -> None:
        """End the key: its next request is refused, what runs goes on to its end."""
        async with self._changing:
            key = self._require_issued(name, "revoked")
            admins = sum(other.role is KeyRole.ADMIN for other in self._ring.everyone())
            if self._serving and key.role is KeyRole.ADMIN and admins == 1:
                raise GateError(
                    f"{name} is the last key of the role admin, without which nobody could make another: make one "
                    "first, or stop the gateway and revoke it with --state-dir",
                    code=ErrorCode.KEY_PROTECTED,
                )
            await self._registry.revoke_key(name)
            self._ring.remove(name)
        _log.info("key_revoked", key=name)

    def _require_issued(self, name: str, change: str) -> Key:
        key = self._ring.find(name)
        if key is None:
            raise key_not_found(name)
        if key.origin is KeyOrigin.CONFIGURED:
            raise GateError(
                f"{name} is listed in the gateway's configuration and can be {change} there only: change its secret or "
                "take it out, and start the gateway again",
                code=ErrorCode.KEY_PROTECTED,
            )
        return key


def put_issued(ring: KeyRing, keys: Iterable[IssuedKey]) -> None:
    """Put issued keys beside configured ones. Raises StartError where they contradict each other."""
    for issued in keys:
        same = ring.holder_of(issued.secret_digest)
        if ring.find(issued.name) is not None or same is not None:
            raise StartError(
                f"key {same or issued.name} of the configuration and the issued key {issued.name} have the same name or"
                " secret: give the one in the configuration another, or revoke the issued one with "
                f"`gateway keys revoke {issued.name} --state-dir DIRECTORY`"
            )
        ring.put(_key(issued))


def _new_secret() -> str:
    return f"{_PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"


def _key(issued: IssuedKey) -> Key:
    return Key(
        **msgspec.structs.asdict(issued.grant),
        name=issued.name,
        origin=KeyOrigin.ISSUED,
        created_at=issued.created_at,
        rotated_at=issued.rotated_at,
        secret_digest=issued.secret_digest,
        previous_digest=issued.previous_digest,
        previous_until_s=issued.previous_until_s,
    )
