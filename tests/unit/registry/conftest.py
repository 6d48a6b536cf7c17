"""A registry in a directory of its own, and the database below it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.registry import Registry
from gateway.registry.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "registry.sqlite3")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def registry(database: Database) -> Registry:
    return Registry(database)
