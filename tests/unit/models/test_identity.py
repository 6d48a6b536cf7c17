"""What an engine has loaded is known by the files that it opened."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.contracts.variants import EngineSpec
from gateway.errors import InvalidRequest
from gateway.models import read_model_directory
from gateway.models.adapter import FILES
from gateway.models.digest import content_digest
from gateway.models.identity import loaded_differs, loaded_files


class Cache:
    """Of digests, for the time of one test; counts what is asked for in vain."""

    def __init__(self) -> None:
        self.digests: dict[tuple[str, int, int, int], str] = {}
        self.missed = 0

    def cached_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int) -> str | None:
        found = self.digests.get((path, size_bytes, mtime_ns, inode))
        self.missed += found is None
        return found

    def store_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int, digest: str) -> None:
        self.digests[path, size_bytes, mtime_ns, inode] = digest


def registered(model: Path, cache: Cache) -> EngineSpec:
    read = read_model_directory(model, max_rows=4, digest_cache=cache, on_progress=lambda _share, _what: None)
    return read.engine


def test_what_was_registered_is_recognised_without_reading_it_again(model: Path) -> None:
    cache = Cache()
    spec = registered(model, cache)
    cache.missed = 0
    assert loaded_differs(spec, loaded_files(spec), cache=cache) is None
    assert cache.missed == 0


def test_a_file_that_was_replaced_before_the_load_is_found_out(model: Path) -> None:
    cache = Cache()
    spec = registered(model, cache)
    (model / "tokenizer_config.json").write_text('{"chat_template": "{{ other }}"}')
    difference = loaded_differs(spec, loaded_files(spec), cache=cache)
    assert difference is not None
    assert str(model) in difference


def test_a_file_that_was_touched_and_not_changed_is_read_and_recognised(model: Path) -> None:
    cache = Cache()
    spec = registered(model, cache)
    config = model / "config.json"
    config.write_bytes(config.read_bytes())
    assert loaded_differs(spec, loaded_files(spec), cache=cache) is None


def test_a_file_that_is_missing_or_was_added_is_found_out(model: Path) -> None:
    cache = Cache()
    spec = registered(model, cache)
    files = loaded_files(spec)
    assert loaded_differs(spec, files[1:], cache=cache) is not None
    (model / "added_tokens.json").write_text("{}")
    assert loaded_differs(spec, loaded_files(spec), cache=cache) is not None


def test_a_file_that_changed_after_the_load_cannot_be_vouched_for(model: Path) -> None:
    cache = Cache()
    spec = registered(model, cache)
    (model / "config.json").write_text("{}")
    files = loaded_files(spec)
    (model / "config.json").write_text("{ }")
    with pytest.raises(InvalidRequest, match="changed since the engine opened it"):
        loaded_differs(spec, files, cache=cache)
    (model / "config.json").unlink()
    with pytest.raises(InvalidRequest, match="cannot be read"):
        loaded_differs(spec, files, cache=cache)


def test_an_adapter_and_a_draft_count_too(make_model: Callable[[str], Path]) -> None:
    cache = Cache()
    model, draft, adapter = make_model("model"), make_model("draft"), make_model("adapter")
    for name in FILES:
        (adapter / name).write_text(name)
    spec = msgspec.structs.replace(
        registered(model, cache),
        adapter_path=str(adapter),
        adapter_digest=content_digest(adapter, cache=cache, on_progress=lambda _share, _what: None, patterns=FILES),
        draft_path=str(draft),
        draft_digest=registered(draft, cache).weights_digest,
    )
    assert loaded_differs(spec, loaded_files(spec), cache=cache) is None
    for directory, name in ((adapter, FILES[0]), (draft, "config.json")):
        (directory / name).write_text("[]")
        assert str(directory) in (loaded_differs(spec, loaded_files(spec), cache=cache) or "")
        spec = msgspec.structs.replace(spec, adapter_path=None)
