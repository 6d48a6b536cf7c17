"""Who calls: the named API keys and what each may do."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gateway.contracts.keys import KeyGrant, KeyOrigin, KeyView
from gateway.errors import StartError
from gateway.rate_limit import KeyLimiter
from gateway.settings import KeySettings, Settings, is_loopback

_SCHEME = "bearer"


class Key(KeyView, frozen=True, kw_only=True):
    secret_digest: bytes
    """SHA-256. A secret is a long random string, so a slow hash would add nothing but latency."""
    previous_digest: bytes | None = None
    """Of the secret before the last rotation."""
    previous_until_s: float = 0.0
    """Unix time at which that one ends."""

    def view(self) -> KeyView:
        """Return what may be shown of it."""
        return KeyView(**{field: getattr(self, field) for field in KeyView.__struct_fields__})


class KeyRing:
    """The keys of one gateway, found by the digest of a secret. Without any it is open, which is for loopback only.

    A key is looked up, whatever the number of keys. The time of that tells nothing that helps: a dictionary looks by a
    keyed hash of the digest, and whoever tries secrets cannot choose their digests. What is found is compared once more
    in constant time.
    """

    def __init__(self, keys: Iterable[Key] = (), *, now_s: Callable[[], float] = time.time) -> None:
        """`now_s` is Unix time: secrets end by it across restarts."""
        self._now_s = now_s
        self._keys: dict[str, Key] = {}
        self._names: dict[bytes, str] = {}
        """Name of the key by the digest of a secret of its."""
        self._limiters: dict[str, KeyLimiter] = {}
        for key in keys:
            self.put(key)

    @property
    def is_open(self) -> bool:
        return not self._keys

    def authenticate(self, authorization: str | None) -> Key | None:
        """Return the key that an `Authorization: Bearer SECRET` header's value proves, or None."""
        scheme, _, secret = (authorization or "").partition(" ")
        return self.prove(secret.strip()) if scheme.lower() == _SCHEME else None

    def prove(self, secret: str) -> Key | None:
        """Return the key whose secret that is, or None."""
        return self.proved_by(digest_of(secret))

    def proved_by(self, digest: bytes) -> Key | None:
        """Return the key that has a secret of that digest now, or None."""
        name = self._names.get(digest)
        if name is None:
            return None
        key = self._keys[name]
        if hmac.compare_digest(key.secret_digest, digest):
            return key
        previous = key.previous_digest
        alive = previous is not None and self._now_s() < key.previous_until_s
        return key if alive and previous is not None and hmac.compare_digest(previous, digest) else None

    def put(self, key: Key) -> None:
        """Take a key in, in place of the one of its name; what that has used of its limits still counts."""
        if (before := self._keys.get(key.name)) is not None:
            self._forget_secrets(before)
        elif key.limits_anything():
            self._limiters[key.name] = KeyLimiter(key, time.monotonic())
        self._keys[key.name] = key
        for digest in _digests(key):
            self._names[digest] = key.name

    def remove(self, name: str) -> None:
        self._forget_secrets(self._keys.pop(name))
        self._limiters.pop(name, None)

    def find(self, name: str) -> Key | None:
        return self._keys.get(name)

    def everyone(self) -> tuple[Key, ...]:
        return tuple(self._keys.values())

    def holder_of(self, digest: bytes) -> str | None:
        """Return the name of the key that has a secret of that digest."""
        return self._names.get(digest)

    def limiter_of(self, name: str) -> KeyLimiter | None:
        """Return what counts the key's requests; None where it has no limits."""
        return self._limiters.get(name)

    def _forget_secrets(self, key: Key) -> None:
        for digest in _digests(key):
            self._names.pop(digest, None)


def load_keys(settings: Iterable[KeySettings], *, environ: Mapping[str, str]) -> KeyRing:
    """Read the secrets from where the settings say.

    Raises StartError where one is missing, empty, unreadable, or the same as another's.
    """
    ring = KeyRing()
    for entry in settings:
        digest = digest_of(_secret(entry, environ))
        if (other := ring.holder_of(digest)) is not None:
            raise StartError(
                f"keys {other} and {entry.name} have the same secret, so a caller could not be told from the other: "
                "give each its own"
            )
        grant = {field: getattr(entry, field) for field in KeyGrant.__struct_fields__}
        ring.put(Key(**grant, name=entry.name, origin=KeyOrigin.CONFIGURED, secret_digest=digest))
    return ring


def check_reach(settings: Settings, ring: KeyRing) -> None:
    """Raise StartError where others than this machine's users could do everything, because there is no key."""
    if not ring.is_open:
        return
    server, remedy = settings.server, f"`gateway keys create NAME --role admin --state-dir {settings.state_dir}`"
    if not is_loopback(server.host):
        raise StartError(
            f"server.host is {server.host}, where other machines can reach the gateway, and no API key is configured: "
            f"make one with {remedy}, add one under [[keys]], or bind 127.0.0.1"
        )
    if "*" in server.cors_origins:
        raise StartError(
            "server.cors_origins allows any web page, which without API keys may then do everything: make a key with "
            f"{remedy}, add one under [[keys]], or name the pages"
        )


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _digests(key: Key) -> list[bytes]:
    return [digest for digest in (key.secret_digest, key.previous_digest) if digest is not None]


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
    if not (secret.isascii() and secret.isprintable()):
        raise StartError(
            f"key {entry.name}: its secret's {place} holds what no header can carry: use letters, digits and signs of "
            "ASCII, in one line"
        )
    return secret
