"""A session lives as long as its time, its place and the secret that opened it."""

import msgspec
import pytest

from gateway.api.sessions import FAILURES_PER_MIN, LIFETIME_S, MAX_OF_A_KEY, Sessions
from gateway.contracts.keys import KeyOrigin, KeyRole
from gateway.errors import Forbidden, RateLimited, Unauthorized
from gateway.keys import Key, KeyRing, digest_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def key(secret: str = "secret", role: KeyRole = KeyRole.ADMIN) -> Key:  # noqa: S107 - a test's own
    return Key(name=role.value, role=role, origin=KeyOrigin.ISSUED, secret_digest=digest_of(secret))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring(clock: Clock) -> KeyRing:
    return KeyRing([key()], now_s=clock)


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(now_s=clock)


def test_a_session_is_found_by_its_id_and_by_no_other(sessions: Sessions, ring: KeyRing) -> None:
    opened = sessions.sign_in("secret", ring)
    found = sessions.find(opened.id, ring)
    assert found is not None
    assert found[1].name == "admin"
    for other in ("", "x", opened.id[:-1], f"{opened.id} ", "\udcff"):
        assert sessions.find(other, ring) is None


def test_each_session_has_an_id_and_a_token_of_its_own(sessions: Sessions, ring: KeyRing) -> None:
    opened = [sessions.sign_in("secret", ring).id for _ in range(3)]
    tokens = {found[0].token for id_ in opened if (found := sessions.find(id_, ring))}
    assert len({*opened, *tokens, sessions.open_token}) == 7


def test_a_session_ends_when_its_time_is_over(sessions: Sessions, ring: KeyRing, clock: Clock) -> None:
    opened = sessions.sign_in("secret", ring)
    clock.now_s += LIFETIME_S - 1
    assert sessions.find(opened.id, ring) is not None
    clock.now_s += 1
    assert sessions.find(opened.id, ring) is None


def test_a_session_ends_at_sign_out(sessions: Sessions, ring: KeyRing) -> None:
    opened = sessions.sign_in("secret", ring)
    sessions.end(opened.id)
    assert sessions.find(opened.id, ring) is None


def test_a_session_ends_with_its_key(sessions: Sessions, ring: KeyRing) -> None:
    opened = sessions.sign_in("secret", ring)
    ring.remove("admin")
    assert sessions.find(opened.id, ring) is None


def test_a_session_ends_with_the_secret_that_opened_it_and_not_before(
    sessions: Sessions, ring: KeyRing, clock: Clock
) -> None:
    opened = sessions.sign_in("secret", ring)
    rotated = msgspec.structs.replace(
        key("next"), previous_digest=digest_of("secret"), previous_until_s=clock.now_s + 60
    )
    ring.put(rotated)
    assert sessions.find(opened.id, ring) is not None
    clock.now_s += 60
    assert sessions.find(opened.id, ring) is None


def test_a_session_has_the_role_that_its_key_has_now(sessions: Sessions, ring: KeyRing) -> None:
    opened = sessions.sign_in("secret", ring)
    ring.put(msgspec.structs.replace(key(), role=KeyRole.CHAT))
    found = sessions.find(opened.id, ring)
    assert found is not None
    assert found[1].role is KeyRole.CHAT


def test_a_keys_sessions_are_bounded_and_push_none_of_anothers_out(sessions: Sessions, ring: KeyRing) -> None:
    ring.put(key("looks", KeyRole.EVALUATION))
    of_another = sessions.sign_in("secret", ring).id
    opened = [sessions.sign_in("looks", ring).id for _ in range(MAX_OF_A_KEY + 1)]
    assert sessions.find(opened[0], ring) is None
    assert all(sessions.find(session_id, ring) for session_id in [*opened[1:], of_another])


def test_a_key_that_is_not_known_or_only_chats_opens_nothing(sessions: Sessions, ring: KeyRing) -> None:
    ring.put(key("chats", KeyRole.CHAT))
    ring.put(key("looks", KeyRole.EVALUATION))
    with pytest.raises(Unauthorized):
        sessions.sign_in("guess", ring)
    with pytest.raises(Forbidden, match="`evaluation` to look"):
        sessions.sign_in("chats", ring)
    assert sessions.sign_in("looks", ring).key.role is KeyRole.EVALUATION


def test_whoever_guesses_is_slowed_down_and_keeps_nobody_out(sessions: Sessions, ring: KeyRing, clock: Clock) -> None:
    for number in range(FAILURES_PER_MIN):
        with pytest.raises(Unauthorized):
            sessions.sign_in(f"guess {number}", ring)
    with pytest.raises(RateLimited) as refused:
        sessions.sign_in("guess", ring)
    assert refused.value.retry_after_s == pytest.approx(60 / FAILURES_PER_MIN)
    sessions.sign_in("secret", ring)
    clock.now_s += 60 / FAILURES_PER_MIN
    with pytest.raises(Unauthorized):
        sessions.sign_in("guess", ring)
