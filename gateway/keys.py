"""Who calls: the named API keys and what each may do."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import StartError
from gateway.settings import KeyRole, KeySettings

_SCHEME = "bearer"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    role: KeyRole
    scheduling_class: SchedulingClass
    secret_digest: bytes
    """SHA-256. A secret is a long random string, so a slow hash would add nothing but latency."""


class KeyRing:
    """The keys of one gateway. Without any it is open, which settings allow on loopback only."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)

    @property
    def is_open(self) -> bool:
        return not self._keys

    def authenticate(self, authorization: str | None) -> Key | None:
        """Return the key that an `Authorization: Bearer SECRET` header's value proves, or None.

        Every key is compared, in constant time, whether or not one has matched: the time tells nothing.
        """
        scheme, _, secret = (authorization or "").partition(" ")
        digest = _digest(secret.strip())
        found: Key | None = None
        for key in self._keys:
            if hmac.compare_digest(key.secret_digest, digest):
                found = key
        return found if scheme.lower() == _SCHEME else None


def load_keys(settings: Iterable[KeySettings], *, environ: Mapping[str, str]) -> KeyRing:
    """Read the secrets from where the settings say.

    Raises StartError where one is missing, empty, unreadable, or the same as another's.
    """
    names: dict[bytes, str] = {}
    keys: list[Key] = []
    for entry in settings:
        digest = _digest(_secret(entry, environ))
        if digest in names:
            raise StartError(
                f"keys {names[digest]} and {entry.name} have the same secret, so a caller could not be told from the"
                " other: give each its own"
            )
        names[digest] = entry.name
        keys.append(
            Key(
                name=entry.name,
                role=entry.role,
                scheduling_class=entry.scheduling_class,
                secret_digest=digest,
            )
        )
    return KeyRing(keys)


def _secret(entry: KeySettings, environ: Mapping[str, str]) -> str:
    if entry.secret_env is not None:
        secret = environ.get(entry.secret_env, "").strip()
        place, remedy = f"environment variable {entry.secret_env}", "set it"
    else:
        path = Path(entry.secret_file or "").expanduser()
        place, remedy = f"file {path}", "write the secret into it"
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"key {entry.name}: its secret's {place} cannot be read ({error}): {remedy}") from error
    if not secret:
        raise StartError(f"key {entry.name}: its secret's {place} is missing or empty: {remedy}")
    return secret


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
