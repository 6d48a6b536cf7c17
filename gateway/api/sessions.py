"""Who is signed in at the console: what a browser's cookie stands for, kept in memory and nowhere else."""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from gateway.contracts.keys import KeyRole
from gateway.errors import Forbidden, RateLimited, Unauthorized
from gateway.keys import Key, KeyRing, digest_of
from gateway.rate_limit import Bucket

LIFETIME_S = 12 * 3600.0
MAX_OF_A_KEY = 16
"""The one that was opened first makes room; no key's holder ends a session of another's."""
FAILURES_PER_MIN = 20
"""Of all callers together, because addresses are cheap. Only wrong keys are refused for it: nobody is locked out."""
LOOKS = KeyRole.EVALUATION
"""The least role of who signs in."""
_ID_BYTES = 32


class Session(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    """The key's name."""
    secret_digest: bytes
    """Of the secret that opened it: it ends with that one, by revocation, by rotation or when its grace is over."""
    token: str
    """Sent back in a header by this gateway's own pages, which are the only ones that can read it."""
    ends_s: float


class Opened(NamedTuple):
    id: str
    """For the cookie."""
    key: Key


class Sessions:
    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        """`now_s` never goes back: sessions do not outlive the process."""
        self.open_token = secrets.token_urlsafe(_ID_BYTES)
        """In place of a session's, while the gateway has no keys."""
        self._now_s = now_s
        self._sessions: dict[bytes, Session] = {}
        """By the digest of the id, oldest first."""
        self._failures = Bucket(FAILURES_PER_MIN, now_s())

    def sign_in(self, secret: str, keys: KeyRing) -> Opened:
        """Open a session for whoever proves a key. Raises Unauthorized, RateLimited, Forbidden."""
        digest = digest_of(secret)
        key = keys.proved_by(digest)
        if key is None:
            raise self._refusal(self._now_s())
        if not key.role.allows(LOOKS):
            raise Forbidden(
                f"The console needs a key of the role `{LOOKS}` to look and `{KeyRole.ADMIN}` to act; this one has the "
                f"role `{key.role}`."
            )
        return Opened(self._open(key.name, digest, self._now_s()), key)

    def find(self, session_id: str, keys: KeyRing) -> tuple[Session, Key] | None:
        """Return the session and its key as that is now; None where either has ended."""
        session = self._sessions.get(_place_of(session_id))
        if session is None:
            return None
        key = keys.proved_by(session.secret_digest) if self._now_s() < session.ends_s else None
        if key is None:
            self.end(session_id)
            return None
        return session, key

    def end(self, session_id: str) -> None:
        self._sessions.pop(_place_of(session_id), None)

    def _refusal(self, now_s: float) -> RateLimited | Unauthorized:
        if (wait_s := self._failures.wait_s(1.0, now_s)) > 0:
            return RateLimited(
                f"Too many keys that this gateway does not know were tried here; try again in {wait_s:.0f} s.",
                limited="requests",
                retry_after_s=wait_s,
            )
        self._failures.take(1, now_s)
        return Unauthorized("This gateway does not know that key. `gateway keys list` names those that there are.")

    def _open(self, key: str, secret_digest: bytes, now_s: float) -> str:
        self._sessions = {place: it for place, it in self._sessions.items() if now_s < it.ends_s}
        of_key = [place for place, it in self._sessions.items() if it.key == key]
        for place in of_key[: max(0, len(of_key) - MAX_OF_A_KEY + 1)]:
            del self._sessions[place]
        session_id = secrets.token_urlsafe(_ID_BYTES)
        self._sessions[_place_of(session_id)] = Session(
            key=key, secret_digest=secret_digest, token=secrets.token_urlsafe(_ID_BYTES), ends_s=now_s + LIFETIME_S
        )
        return session_id


def _place_of(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode(errors="surrogateescape")).digest()
