"""A repository becomes a directory through the real job, which is let look in its cache alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import InvalidRequest
from gateway.models import HubRepository
from gateway.models.fetch import fetch_repository

pytestmark = pytest.mark.anyio


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return tmp_path / "hub"


async def test_a_repository_is_its_files_here(cache: Path, make_model: Callable[[str], Path]) -> None:
    snapshot = cache / "models--org--tutor" / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    make_model("files").rename(snapshot)
    (cache / "models--org--tutor" / "refs").mkdir()
    (cache / "models--org--tutor" / "refs" / "main").write_text("a" * 40)
    told: list[str] = []
    path = await fetch_repository(
        HubRepository("org/tutor"), on_progress=lambda _, message: told.append(message), timeout_s=60
    )
    assert path == snapshot
    assert told == ["looking for org/tutor"]


@pytest.mark.usefixtures("cache")
async def test_a_repository_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(InvalidRequest, match="org/tutor") as raised:
        await fetch_repository(HubRepository("org/tutor"), on_progress=lambda _, __: None, timeout_s=60)
    assert "\n" not in raised.value.message
