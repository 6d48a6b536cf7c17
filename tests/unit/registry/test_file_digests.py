"""A file's digest is remembered for as long as the file stays what it was."""

import asyncio

import pytest

from gateway.registry import Registry

pytestmark = pytest.mark.anyio

STATE = ("/m/model.safetensors", 10, 20, 30)


async def test_any_sign_of_change_forgets_the_digest(registry: Registry) -> None:
    def use() -> None:
        assert registry.cached_file_digest(*STATE) is None
        registry.store_file_digest(*STATE, "old")
        assert registry.cached_file_digest(*STATE) == "old"
        for changed in (
            ("/m/other", 10, 20, 30),
            (STATE[0], 11, 20, 30),
            (STATE[0], 10, 21, 30),
            (STATE[0], 10, 20, 31),
        ):
            assert registry.cached_file_digest(*changed) is None
        registry.store_file_digest(STATE[0], 11, 21, 30, "new")
        assert registry.cached_file_digest(*STATE) is None
        assert registry.cached_file_digest(STATE[0], 11, 21, 30) == "new"

    await asyncio.to_thread(use)
