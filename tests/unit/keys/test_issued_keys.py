"""Keys that are made, rotated and revoked while a gateway runs."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.keys import CreateKey, KeyOrigin, KeyRole
from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import GateError, NotFound, StartError
from gateway.issued_keys import IssuedKeys
from gateway.keys import KeyRing, load_keys
from gateway.registry import Registry
from gateway.settings import KeySettings

pytestmark = pytest.mark.anyio

ADMIN = CreateKey(name="ops", role=KeyRole.ADMIN)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = await Registry.open(tmp_path)
    yield registry
    await registry.close()


class _Clock:
    def __init__(self) -> None:
        self.s = 1_000_000.0

    def __call__(self) -> float:
        return self.s


def configured(name: str, role: KeyRole = KeyRole.CHAT, secret: str = "listed-secret") -> KeyRing:  # noqa: S107 - a test's
    return load_keys([KeySettings(name=name, role=role, secret_env="K")], environ={"K": secret})  # noqa: S106 - its name


async def test_a_created_key_is_proved_by_its_secret_at_once_and_after_a_restart(registry: Registry) -> None:
    ring = KeyRing()
    keys = IssuedKeys(registry, ring)
    await keys.create(ADMIN)
    made = await keys.create(
        CreateKey(
            name="app",
            role=KeyRole.CHAT,
            scheduling_class=SchedulingClass.BATCH,
            models=("tutor",),
            max_concurrent=2,
            requests_per_min=3,
            tokens_per_min=4,
        )
    )
    later = KeyRing()
    await IssuedKeys(registry, later).load()
    for each in (ring, later):
        key = each.authenticate(f"Bearer {made.secret}")
        assert key is not None
        assert key.view() == made.key
        assert (key.scheduling_class, key.models, key.max_concurrent) == (SchedulingClass.BATCH, ("tutor",), 2)
        assert (key.requests_per_min, key.tokens_per_min, key.origin) == (3, 4, KeyOrigin.ISSUED)
        assert each.prove(made.secret[:-1]) is None
        assert each.limiter_of("app") is not None
        assert each.limiter_of("ops") is None


def _all_bytes(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.iterdir())


async def test_a_secret_is_neither_stored_nor_logged(registry: Registry, tmp_path: Path) -> None:
    keys = IssuedKeys(registry, KeyRing())
    with structlog.testing.capture_logs() as lines:
        secrets = [(await keys.create(ADMIN)).secret, (await keys.rotate("ops", grace_s=60)).secret]
        await keys.create(CreateKey(name="other", role=KeyRole.ADMIN))
        await keys.revoke("ops")
    assert [(line["event"], line["key"]) for line in lines] == [
        ("key_created", "ops"),
        ("key_rotated", "ops"),
        ("key_created", "other"),
        ("key_revoked", "ops"),
    ]
    files = _all_bytes(tmp_path)
    for secret in secrets:
        assert len(secret) >= 40
        assert secret not in str(lines)
        assert secret.encode() not in files
    assert len(set(secrets)) == 2
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as connection:
        kept = connection.execute("SELECT secret_digest, previous_digest FROM keys WHERE name = 'ops'").fetchone()
    assert kept == (None, None)


async def test_the_old_secret_lives_as_long_as_the_grace_across_a_restart(registry: Registry) -> None:
    clock = _Clock()
    ring = KeyRing(now_s=clock)
    keys = IssuedKeys(registry, ring, now_s=clock)
    first = (await keys.create(ADMIN)).secret
    second = (await keys.rotate("ops", grace_s=3600)).secret
    later = KeyRing(now_s=clock)
    await IssuedKeys(registry, later, now_s=clock).load()
    for each in (ring, later):
        clock.s = 1_000_000.0 + 3599
        assert each.prove(first) is not None
        assert each.prove(second) is not None
        clock.s += 1
        assert each.prove(first) is None
        assert each.prove(second) is not None


async def test_without_grace_the_old_secret_ends_at_once_and_so_does_the_one_before_it(registry: Registry) -> None:
    ring = KeyRing()
    keys = IssuedKeys(registry, ring)
    secrets = [(await keys.create(ADMIN)).secret]
    secrets.append((await keys.rotate("ops", grace_s=3600)).secret)
    secrets.append((await keys.rotate("ops", grace_s=3600)).secret)
    assert [ring.prove(secret) is not None for secret in secrets] == [False, True, True]
    secrets.append((await keys.rotate("ops", grace_s=0)).secret)
    assert [ring.prove(secret) is not None for secret in secrets] == [False, False, False, True]
    assert keys.views()[0].rotated_at is not None


async def test_a_new_secret_gives_back_nothing_of_what_the_key_has_used(registry: Registry) -> None:
    ring = KeyRing()
    keys = IssuedKeys(registry, ring)
    await keys.create(ADMIN)
    await keys.create(CreateKey(name="app", role=KeyRole.CHAT, requests_per_min=1, max_concurrent=1))
    before = ring.limiter_of("app")
    await keys.rotate("app", grace_s=0)
    assert before is not None
    assert ring.limiter_of("app") is before


async def test_a_revoked_key_is_gone_for_good_and_its_name_is_not_given_again(registry: Registry) -> None:
    ring = KeyRing()
    keys = IssuedKeys(registry, ring)
    await keys.create(ADMIN)
    secret = (await keys.create(CreateKey(name="app", role=KeyRole.CHAT, requests_per_min=1))).secret
    await keys.revoke("app")
    later = KeyRing()
    await IssuedKeys(registry, later).load()
    assert ring.prove(secret) is None
    assert later.prove(secret) is None
    assert ring.limiter_of("app") is None
    for change in (keys.revoke("app"), keys.rotate("app", grace_s=0)):
        with pytest.raises(NotFound) as missing:
            await change
        assert missing.value.code is ErrorCode.KEY_NOT_FOUND
    with pytest.raises(GateError, match="name is given once") as raised:
        await keys.create(CreateKey(name="app", role=KeyRole.CHAT))
    assert raised.value.code is ErrorCode.KEY_EXISTS


async def test_the_first_key_must_be_an_admins_and_the_last_admins_stays(registry: Registry) -> None:
    keys = IssuedKeys(registry, KeyRing())
    with pytest.raises(GateError, match="first key must have the role admin"):
        await keys.create(CreateKey(name="app", role=KeyRole.CHAT))
    await keys.create(ADMIN)
    with pytest.raises(GateError, match="last key of the role admin"):
        await keys.revoke("ops")
    await keys.create(CreateKey(name="second", role=KeyRole.ADMIN))
    results = await asyncio.gather(keys.revoke("ops"), keys.revoke("second"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), GateError]


async def test_without_a_gateway_any_key_may_come_first_and_go_last(registry: Registry) -> None:
    keys = IssuedKeys(registry, KeyRing(), serving=False)
    await keys.create(CreateKey(name="app", role=KeyRole.CHAT))
    await keys.create(ADMIN)
    await keys.revoke("ops")
    await keys.revoke("app")
    assert keys.views() == ()


async def test_a_key_of_the_configuration_is_listed_and_changed_nowhere_else(registry: Registry) -> None:
    ring = configured("app", KeyRole.ADMIN)
    keys = IssuedKeys(registry, ring)
    (view,) = keys.views()
    assert (view.name, view.origin, view.created_at) == ("app", KeyOrigin.CONFIGURED, None)
    for change in (keys.revoke("app"), keys.rotate("app", grace_s=0)):
        with pytest.raises(GateError, match="listed in the gateway's configuration") as raised:
            await change
        assert raised.value.code is ErrorCode.KEY_PROTECTED
    with pytest.raises(GateError, match="there is a key app already"):
        await keys.create(CreateKey(name="app", role=KeyRole.CHAT))
    assert ring.prove("listed-secret") is not None


async def test_a_configured_and_an_issued_key_of_one_name_or_secret_stop_the_start(registry: Registry) -> None:
    made = await IssuedKeys(registry, KeyRing()).create(ADMIN)
    for ring in (configured("ops"), configured("copy", secret=made.secret)):
        with pytest.raises(StartError, match="gateway keys revoke ops") as raised:
            await IssuedKeys(registry, ring).load()
        assert made.secret not in raised.value.message


async def test_a_write_that_fails_leaves_the_ring_as_it_was(registry: Registry) -> None:
    ring = KeyRing()
    keys = IssuedKeys(registry, ring)
    secret = (await keys.create(ADMIN)).secret
    await keys.create(CreateKey(name="second", role=KeyRole.ADMIN))
    await registry.revoke_key("second")  # behind its back
    with pytest.raises(NotFound):
        await keys.rotate("second", grace_s=0)
    await registry.close()
    with pytest.raises(Exception, match="closed"):
        await keys.rotate("ops", grace_s=0)
    assert ring.prove(secret) is not None
