"""What is said of the state directory, its registry and the keys; and that nothing is changed by looking."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from gateway.contracts.keys import KeyGrant, KeyRole
from gateway.doctor.finding import Finding, Health
from gateway.doctor.place import examine_keys, examine_state
from gateway.keys import digest_of
from gateway.registry import Registry, RegistryReading, StateLock, lock_holder, read_registry
from gateway.settings import KeySettings, ServerSettings, Settings


class _Partition(NamedTuple):
    """As psutil's."""

    mountpoint: str
    fstype: str


class _Usage(NamedTuple):
    """As shutil's."""

    free: int


@pytest.fixture(autouse=True)
def own_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)


def state_of(state_dir: Path) -> dict[str, Finding]:
    findings = examine_state(state_dir, read_registry(state_dir), holder=lock_holder(state_dir), largest_model_bytes=0)
    return {finding.check: finding for finding in findings}


def files_in(directory: Path) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in directory.iterdir()}


async def made(state_dir: Path) -> None:
    registry = await Registry.open(state_dir)
    await registry.close()


# --- the state directory ---


def test_a_directory_that_is_not_there_yet_is_ok_and_stays_away(tmp_path: Path) -> None:
    found = state_of(tmp_path / "new" / "state")
    assert {finding.health for finding in found.values()} <= {Health.OK, Health.WARNING}
    assert not (tmp_path / "new").exists()


@pytest.mark.anyio
async def test_looking_at_a_registry_changes_nothing_beside_it(tmp_path: Path) -> None:
    await made(tmp_path)
    before = files_in(tmp_path)
    assert state_of(tmp_path)["registry"].health is Health.OK
    assert files_in(tmp_path) == before


@pytest.mark.anyio
async def test_the_registry_of_a_gateway_that_runs_is_read_and_its_process_named(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        registry = await Registry.open(tmp_path)
        found = state_of(tmp_path)
        await registry.close()
    assert found["registry"].health is Health.OK
    assert f"process {os.getpid()}" in found["state directory"].detail
    assert lock_holder(tmp_path) is None


def test_a_process_id_that_was_given_again_holds_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / "gateway.lock"
    lock.write_text(f"{os.getpid()}\n")
    os.utime(lock, (0, 0))
    assert lock_holder(tmp_path) is None


@pytest.mark.anyio
async def test_a_registry_of_a_newer_gateway_is_a_failure(tmp_path: Path) -> None:
    await made(tmp_path)
    with sqlite3.connect(tmp_path / "registry.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    finding = state_of(tmp_path)["registry"]
    assert (finding.health, "update the gateway" in finding.remedy) == (Health.FAILURE, True)


def test_a_registry_that_is_none_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite3").write_bytes(b"nothing of the kind" * 100)
    assert state_of(tmp_path)["registry"].health is Health.FAILURE


def test_an_older_registry_is_migrated_by_the_next_start(tmp_path: Path) -> None:
    reading = RegistryReading(version=1, known_version=3)
    findings = examine_state(tmp_path, reading, holder=None, largest_model_bytes=0)
    assert "brings it to 3" in next(it for it in findings if it.check == "registry").detail


def test_a_directory_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert state_of(tmp_path)["state directory"].remedy.startswith("chmod 700")


def test_a_directory_that_may_not_even_be_looked_into_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    stat = Path.stat

    def refusing(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if closed in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refusing)
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = state_of(closed / "state")
    assert (found["state directory"].health, found["registry"].health) == (Health.FAILURE, Health.FAILURE)
    (finding,) = keys_of("127.0.0.1", KeySettings(name="one", role=KeyRole.CHAT, secret_file=str(closed / "key")))
    assert finding.health is Health.FAILURE


def test_a_file_system_without_locks_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [_Partition("/", "ext4"), _Partition(str(tmp_path), "nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert state_of(tmp_path)["file system"].health is Health.FAILURE
    assert state_of(tmp_path.parent)["file system"].health is Health.OK


@pytest.mark.parametrize(("free", "health"), [(1, Health.FAILURE), (2**30, Health.WARNING), (2**40, Health.OK)])
def test_a_full_disk_is_told(free: int, health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.doctor.place.shutil.disk_usage", lambda _: _Usage(free))
    assert state_of(tmp_path)["disk"].health is health


# --- keys ---


def keys_of(
    host: str, *keys: KeySettings, issued: RegistryReading | None = None, environ: dict[str, str] | None = None
) -> list[Finding]:
    settings = Settings(state_dir="/nowhere", server=ServerSettings(host=host), keys=keys)
    return list(examine_keys(settings, issued, environ or {}))


def test_a_gateway_that_others_reach_needs_a_key() -> None:
    assert keys_of("127.0.0.1")[0].health is Health.OK
    (finding,) = keys_of("0.0.0.0")  # noqa: S104 - what is examined
    assert (finding.health, "gateway keys create" in finding.remedy) == (Health.FAILURE, True)


def test_a_secret_that_others_can_read_is_a_warning_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("very-secret-words")
    secret.chmod(0o644)
    findings = keys_of("0.0.0.0", KeySettings(name="one", role=KeyRole.CHAT, secret_file=str(secret)))  # noqa: S104 - what is examined
    assert [finding.health for finding in findings] == [Health.WARNING, Health.OK]
    assert "very-secret-words" not in str(findings)
    secret.chmod(0o600)
    assert [
        it.health for it in keys_of("::1", KeySettings(name="one", role=KeyRole.CHAT, secret_file=str(secret)))
    ] == [Health.OK]


@pytest.mark.anyio
async def test_a_name_that_is_configured_and_issued_is_a_failure_as_it_is_at_the_start(tmp_path: Path) -> None:
    registry = await Registry.open(tmp_path)
    await registry.add_key("one", KeyGrant(role=KeyRole.ADMIN), digest_of("issued"))
    await registry.close()
    issued = read_registry(tmp_path)
    assert [it.health for it in keys_of("0.0.0.0", issued=issued)] == [Health.OK]  # noqa: S104 - what is examined
    configured = KeySettings(name="one", role=KeyRole.CHAT, secret_env="ONE")  # noqa: S106 - a name
    (finding,) = keys_of("127.0.0.1", configured, issued=issued, environ={"ONE": "configured"})
    assert (finding.health, "gateway keys revoke one" in finding.remedy) == (Health.FAILURE, True)


def test_a_secret_that_is_missing_is_a_failure() -> None:
    (finding,) = keys_of("127.0.0.1", KeySettings(name="one", role=KeyRole.CHAT, secret_env="NOT_SET"))  # noqa: S106 - a name
    assert (finding.health, finding.remedy) == (Health.FAILURE, "set it")
