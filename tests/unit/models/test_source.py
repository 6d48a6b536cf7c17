"""What a person means by a model."""

from pathlib import Path

import pytest

from gateway.contracts.digests import parse_reference
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import Variant
from gateway.errors import InvalidRequest
from gateway.models import HubRepository, resolve_source, variant_name
from tests.support.evaluations import make_variant

pytestmark = pytest.mark.anyio

REGISTERED = make_variant("org/tutor")


async def known(reference: str) -> Variant | None:
    return REGISTERED if reference in {"org/tutor", "tutor"} else None


async def resolve(source: str, *, relative_allowed: bool = True) -> object:
    return await resolve_source(source, known=known, relative_allowed=relative_allowed)


async def test_a_directory_goes_before_a_name_and_a_name_before_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tutor").mkdir()
    assert await resolve("./tutor") == tmp_path / "tutor"
    assert await resolve(str(tmp_path / "tutor")) == tmp_path / "tutor"
    assert await resolve("tutor") == REGISTERED
    assert await resolve("org/tutor") == REGISTERED
    assert await resolve("org/other") == HubRepository("org/other")


@pytest.mark.parametrize("source", ["other", "", "a/b/c", "org/", "~/models", "org/na me", "tutor@0123456789ab"])
async def test_what_is_none_of_these_is_told_what_there_is(source: str) -> None:
    with pytest.raises(InvalidRequest, match=r"neither a directory .* nor a registered .* nor") as raised:
        await resolve(source)
    assert raised.value.code is ErrorCode.MODEL_UNREADABLE


@pytest.mark.parametrize("source", ["/nowhere/at/all", "./nowhere", "/" + "x" * 5000, "/with\0null"])
async def test_a_directory_that_is_not_there_is_refused(source: str) -> None:
    with pytest.raises(InvalidRequest, match="model directory") as raised:
        await resolve(source)
    assert raised.value.code is ErrorCode.MODEL_UNREADABLE


async def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(InvalidRequest, match="no model directory"):
        await resolve(str(tmp_path / "model.gguf"))


async def test_a_relative_path_means_nothing_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match="make it absolute"):
        await resolve(".", relative_allowed=False)
    assert await resolve(str(tmp_path), relative_allowed=False) == tmp_path


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/models/tutor-5bit", "tutor-5bit"),
        ("/models/tutor-5bit/", "tutor-5bit"),
        ("org/Some.Model_1", "Some.Model_1"),
        ("tutor@0123456789ab", "tutor"),
        ("/models/my model (final)", "my-model-final"),
        ("/models/.hidden", "hidden"),
        ("/models/モデル", "model"),
        ("/", "model"),
    ],
)
async def test_a_name_is_one_that_a_reference_can_hold(source: str, name: str) -> None:
    assert variant_name(source) == name
    assert parse_reference(f"{name}@0123456789ab") == (name, "0123456789ab")
