"""What the disk and other versions do to the registry."""

import asyncio
import hashlib
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.contracts.deployments import GatePolicy
from gateway.contracts.keys import KeyGrant, KeyRole
from gateway.errors import GatewayError, StartError
from gateway.registry import Registry
from gateway.registry.database import Database
from gateway.registry.migrations import MIGRATIONS
from tests.support.evaluations import make_evaluation, make_variant

pytestmark = pytest.mark.anyio

RELEASED = (
    "efe1821608fb43f70d4d7d284c066144f26edd19f4e582067c43906556d4fc8b",
    "6165f83c38b0efe1bff7aac6d43a05f06c8247565a385ee2c8a9b5e85570c3ac",
    "b7ff485a98e9829346f897fc5591a2680c52820e80383c37e1d85d19e070d744",
)
"""Digests of the steps that have been released, in order: none of them is ever edited."""

WRITE_FOR_EVER = """
import asyncio, sys
from pathlib import Path
import msgspec
from gateway.registry import Registry
from tests.support.evaluations import make_evaluation

async def main():
    registry = await Registry.open(Path(sys.argv[1]))
    evaluation = make_evaluation({"a": [1.0] * 40})
    for number in range(100_000):
        await registry.add_evaluation(msgspec.structs.replace(evaluation, id=f"{number:06}"))
        print(number, flush=True)

asyncio.run(main())
"""


def write_until_killed(state_dir: Path) -> list[int]:
    """Kill a writer in the middle of its work and return the numbers that it was told are written."""
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(state_dir)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    return [int(line) for line in lines if line.endswith("\n")]


async def test_what_was_acknowledged_survives_a_kill_in_the_middle_of_writing(tmp_path: Path) -> None:
    acknowledged = await asyncio.to_thread(write_until_killed, tmp_path)
    registry = await Registry.open(tmp_path)
    ids = {summary.id for summary in await registry.evaluations()}
    assert {f"{number:06}" for number in acknowledged} <= ids
    assert len((await registry.evaluation(min(ids))).trials) == 40
    await registry.close()


async def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path) -> None:
    registry = await Registry.open(tmp_path)
    for number in range(50):
        await registry.add_evaluation(msgspec.structs.replace(make_evaluation({"a": [1.0] * 20}), id=str(number)))
    await registry.close()
    file = tmp_path / "registry.sqlite3"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = b"\xa5" * 20_000
    file.write_bytes(content)
    with pytest.raises(StartError, match=rf"registry {file} is damaged .*backup") as raised:
        await Registry.open(tmp_path)
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("content", [b"this is no database, but a letter to someone" * 100, b"SQLite format 3\x00"])
async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "registry.sqlite3"
    file.write_bytes(content)
    with pytest.raises(StartError, match="is damaged"):
        await Registry.open(tmp_path)
    assert file.read_bytes() == content


async def test_a_directory_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite3").mkdir()
    with pytest.raises(StartError, match="cannot be opened"):
        await Registry.open(tmp_path)


async def test_a_full_disk_is_one_sentence_and_undoes_the_change(registry: Registry, database: Database) -> None:
    await registry.add_variant(make_variant("before"))

    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await database.transact(limit)
    with pytest.raises(GatewayError, match=r"disk is full.*nothing was changed") as raised:
        await registry.add_evaluation(make_evaluation({"a": [1.0] * 400}))
    assert "\n" not in raised.value.message
    assert await registry.evaluations() == ()
    assert [view.variant.name for view in await registry.variants()] == ["before"]


@contextmanager
def full_disk(directory: Path) -> Generator[None]:
    """Let the log of the database grow by one page at most: a limit on the size of files stands in for the disk's."""
    (written_bytes,) = [file.stat().st_size for file in directory.glob("*-wal")]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (written_bytes + 4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_write_that_the_system_refuses_is_one_sentence_and_undoes_the_change(
    registry: Registry, tmp_path: Path
) -> None:
    await registry.add_variant(make_variant("before"))
    with full_disk(tmp_path), pytest.raises(GatewayError, match=r"cannot be read or written \(.*nothing was changed"):
        await registry.add_evaluation(make_evaluation({"a": [1.0] * 400}))
    assert await registry.evaluations() == ()
    await registry.add_evaluation(make_evaluation({"a": [1.0] * 400}))
    assert len(await registry.evaluations()) == 1


async def test_a_cancelled_writer_leaves_a_whole_change(registry: Registry) -> None:
    writing = asyncio.create_task(registry.add_variant(make_variant("tutor")))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    views = await registry.variants()
    assert [view.variant.name for view in views] in ([], ["tutor"])


async def test_a_reference_to_nothing_is_refused_by_the_database(database: Database) -> None:
    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO deployments VALUES ('tutor', 'nothing', 1, x'7b7d')")

    with pytest.raises(GatewayError, match="FOREIGN KEY"):
        await database.transact(insert)


async def test_commits_are_synced_and_readers_do_not_block(database: Database) -> None:
    def ask(connection: sqlite3.Connection) -> list[Any]:
        return [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert await database.transact(ask) == ["wal", 2, 1]


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    registry = await Registry.open(tmp_path)
    await registry.close()
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StartError, match=r"written by a newer gateway .*update the gateway"):
        await Registry.open(tmp_path)


async def test_a_database_of_version_1_is_read_by_this_version(tmp_path: Path) -> None:
    dump = (Path(__file__).parent / "version_1.sql").read_text()
    with closing(sqlite3.connect(tmp_path / "registry.sqlite3")) as connection:
        connection.executescript(dump)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    registry = await Registry.open(tmp_path)
    (deployment,) = await registry.deployments()
    assert deployment.model == "tutor"
    incumbent = await registry.variant(deployment.incumbent)
    assert incumbent.variant.name == "candidate"
    assert [promotion.kind.value for promotion in await registry.promotions()] == ["promote", "bootstrap"]
    (summary,) = await registry.evaluations()
    assert len((await registry.evaluation(summary.id)).trials) == 2
    await registry.create_deployment("other", incumbent=incumbent.digest, gate=GatePolicy(suite="smoke"))
    assert await asyncio.to_thread(registry.cached_file_digest, "/models/a", 1, 2, 3) == "d" * 64
    assert await registry.keys() == ()
    await registry.add_key("ops", KeyGrant(role=KeyRole.ADMIN), b"digest")
    await registry.close()


def test_a_released_step_is_never_edited() -> None:
    digests = [hashlib.sha256("\0".join(step).encode()).hexdigest() for step in MIGRATIONS]
    assert digests[: len(RELEASED)] == list(RELEASED)
    assert len(digests) == len(RELEASED), "a new step: add its digest here, and a dump of the version before it"
