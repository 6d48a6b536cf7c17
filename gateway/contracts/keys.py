"""API keys: what one may do, and the bodies of the admin routes that make, list, rotate and revoke them."""

import enum
from typing import Annotated

import msgspec

from gateway.contracts.names import KeyName, PrintedName
from gateway.contracts.scheduling import SchedulingClass

MAX_GRACE_S = 30 * 86400.0
MAX_LIMIT = 1_000_000_000

_Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]
_Models = Annotated[tuple[PrintedName, ...], msgspec.Meta(min_length=1)]


class KeyRole(enum.StrEnum):
    """What a key may do; each may do all that the one before it may."""

    CHAT = "chat"
    EVALUATION = "evaluation"
    ADMIN = "admin"

    def allows(self, needed: "KeyRole") -> bool:
        order = list(KeyRole)
        return order.index(self) >= order.index(needed)


class KeyOrigin(enum.StrEnum):
    """Who says what a key is, and may therefore change it."""

    CONFIGURED = "configured"
    ISSUED = "issued"


class KeyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Of the generating routes; None is no limit of the key's own."""

    max_concurrent: _Limit | None = None
    """Requests that run or wait at a time."""
    requests_per_min: _Limit | None = None
    tokens_per_min: _Limit | None = None
    """Of prompts and answers."""

    def limits_anything(self) -> bool:
        return any((self.max_concurrent, self.requests_per_min, self.tokens_per_min))


class KeyGrant(KeyLimits, frozen=True, kw_only=True):
    role: KeyRole
    scheduling_class: SchedulingClass = msgspec.field(default=SchedulingClass.INTERACTIVE, name="class")
    """In which line its requests wait."""
    models: _Models | None = None
    """The public names that it may ask for; None is all."""

    def allows_model(self, model: str) -> bool:
        return self.models is None or model in self.models


class CreateKey(KeyGrant, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/keys`."""

    name: KeyName


class RotateKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/keys/{name}/rotation`."""

    grace_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_GRACE_S)] = 0.0
    """The secret until now goes on for so long."""


class KeyView(KeyGrant, frozen=True, kw_only=True):
    name: str
    origin: KeyOrigin
    created_at: str | None = None
    """None where the configuration lists it."""
    rotated_at: str | None = None


class NewSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The only time that a secret is shown."""

    key: KeyView
    secret: str
