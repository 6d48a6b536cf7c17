"""The prefix cache over real KV arrays, in memory and on disk. KV is made up: its values are the tokens."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.models.cache import KVCache, RotatingKVCache

from gateway.engine.prefix_cache import LONGEST_RUN_TOKENS, PrefixCache
from gateway.engine.prefix_store import PrefixStore
from gateway.engine.prefix_tree import SHORTEST_TOKENS

BYTES_PER_TOKEN = 2 * 2 * 2 * 4
"""Layers x (keys, values) x heads of size 1 x float32."""
Tokens = tuple[int, ...]


def _cache_of(tokens: Sequence[int], *, capacity: int = 0) -> list[Any]:
    """Return a row's cache as a model leaves it: with room beyond its offset."""
    cache: list[Any] = []
    for layer in range(2):
        kv = KVCache()
        padded = [*tokens, *[-1] * capacity]
        row = mx.array(padded, dtype=mx.float32).reshape(1, 1, -1, 1) + 1000 * layer
        kv.keys = mx.concatenate([row, row + 0.5], axis=1)
        kv.values = -kv.keys
        kv.offset = len(tokens)
        cache.append(kv)
    return cache


def _keep(prefixes: PrefixCache, tokens: Tokens) -> None:
    prefixes.keep(tokens, _cache_of(tokens, capacity=7))


def _fetched(prefixes: PrefixCache, prompt: Tokens) -> int:
    """Fetch, assert that the KV is that of the prompt's beginning, and return its length."""
    cache, length = prefixes.fetch(prompt)
    expected = _cache_of(prompt[:length])
    for layer, wanted in zip(cache, expected, strict=False):
        assert layer.offset == layer.keys.shape[2] == length
        assert mx.array_equal(layer.keys, wanted.keys)
        assert mx.array_equal(layer.values, wanted.values)
    return length


def _tokens(length: int, first: int = 0) -> Tokens:
    return tuple(range(first, first + length))


# --- in memory ---


def test_a_prompt_gets_the_longest_prefix_that_is_known() -> None:
    prefixes = PrefixCache(limit_bytes=10**6)
    _keep(prefixes, _tokens(50))
    assert _fetched(prefixes, (*_tokens(50), 7, 8)) == 50
    assert _fetched(prefixes, (*_tokens(30), 7, 8)) == 30
    assert _fetched(prefixes, (7, 8, 9)) == 0
    counts = prefixes.counts()
    assert (counts.hits, counts.misses, counts.hit_tokens) == (2, 1, 80)


def test_the_last_token_of_a_prompt_is_never_taken() -> None:
    prefixes = PrefixCache(limit_bytes=10**6)
    _keep(prefixes, _tokens(50))
    assert _fetched(prefixes, _tokens(50)) == 49


def test_a_prefix_too_short_to_be_worth_it_is_a_miss() -> None:
    prefixes = PrefixCache(limit_bytes=10**6)
    _keep(prefixes, _tokens(50))
    assert _fetched(prefixes, (*_tokens(SHORTEST_TOKENS - 1), 999, 999)) == 0
    assert _fetched(prefixes, (*_tokens(SHORTEST_TOKENS), 999, 999)) == SHORTEST_TOKENS
    _keep(prefixes, _tokens(SHORTEST_TOKENS - 1, first=5000))
    assert prefixes.counts().held_bytes == 50 * BYTES_PER_TOKEN


def test_what_conversations_share_is_held_once() -> None:
    prefixes = PrefixCache(limit_bytes=10**6)
    for turn in range(5):
        _keep(prefixes, (*_tokens(100), *_tokens(20, first=1000 * (turn + 1))))
    assert prefixes.counts().held_bytes == (100 + 5 * 20) * BYTES_PER_TOKEN
    assert prefixes.known_tokens((*_tokens(100), 1, 2)) == 100


def test_memory_is_what_is_counted_and_nothing_more() -> None:
    prefixes = PrefixCache(limit_bytes=10**8)
    row = _cache_of(_tokens(1000), capacity=100_000)
    prefixes.keep(_tokens(1000), row)
    _keep(prefixes, (*_tokens(300), *_tokens(300, first=5000)))  # divides a run
    del row
    held_bytes = prefixes.counts().held_bytes
    assert held_bytes == 1300 * BYTES_PER_TOKEN
    with_runs_bytes = mx.get_active_memory()
    prefixes.clear()
    freed_bytes = with_runs_bytes - mx.get_active_memory()
    spare_room_bytes = 100_000 * BYTES_PER_TOKEN
    assert held_bytes <= freed_bytes < held_bytes + 0.01 * spare_room_bytes


def test_the_least_recently_used_goes_first_and_a_conversation_loses_its_end_first() -> None:
    length = 2 * LONGEST_RUN_TOKENS
    prefixes = PrefixCache(limit_bytes=2 * length * BYTES_PER_TOKEN)
    old, new, newest = (_tokens(length, first=first) for first in (0, 10_000, 20_000))
    _keep(prefixes, old)
    _keep(prefixes, new)
    prefixes.fetch((*old, 1))
    _keep(prefixes, newest[:LONGEST_RUN_TOKENS])
    assert prefixes.known_tokens((*old, 1)) == length
    assert prefixes.known_tokens((*new, 1)) == LONGEST_RUN_TOKENS
    assert prefixes.counts().evictions == 1


def test_what_is_larger_than_the_bound_is_kept_in_part() -> None:
    prefixes = PrefixCache(limit_bytes=LONGEST_RUN_TOKENS * BYTES_PER_TOKEN)
    _keep(prefixes, _tokens(3 * LONGEST_RUN_TOKENS))
    assert prefixes.counts().held_bytes <= LONGEST_RUN_TOKENS * BYTES_PER_TOKEN
    assert prefixes.known_tokens((*_tokens(3 * LONGEST_RUN_TOKENS), 1)) == LONGEST_RUN_TOKENS


def test_a_fetched_cache_stays_whole_when_what_it_came_from_is_evicted() -> None:
    prefixes = PrefixCache(limit_bytes=50 * BYTES_PER_TOKEN)
    _keep(prefixes, _tokens(50))
    cache, _ = prefixes.fetch((*_tokens(50), 1))
    _keep(prefixes, _tokens(50, first=1000))
    assert mx.array_equal(cache[0].keys, _cache_of(_tokens(50))[0].keys)


def test_growing_a_fetched_cache_leaves_what_is_kept_as_it_was() -> None:
    prefixes = PrefixCache(limit_bytes=10**6)
    _keep(prefixes, _tokens(50))
    cache, _ = prefixes.fetch((*_tokens(50), 1))
    more = mx.full((1, 2, 3, 1), 77.0)
    mx.eval(cache[0].update_and_fetch(more, more))
    assert _fetched(prefixes, (*_tokens(50), 1)) == 50


def test_a_cache_that_is_no_plain_kv_is_not_kept() -> None:
    prefixes = PrefixCache(limit_bytes=10**6)
    prefixes.keep(_tokens(50), [RotatingKVCache(max_size=8)])
    assert prefixes.counts().held_bytes == 0


def test_after_clearing_nothing_is_held() -> None:
    prefixes = PrefixCache(limit_bytes=10**6)
    _keep(prefixes, _tokens(600))
    prefixes.clear()
    assert prefixes.counts().held_bytes == 0
    assert _fetched(prefixes, _tokens(600)) == 0


CONVERSATION = st.lists(st.sampled_from([_tokens(20), _tokens(20, 100), _tokens(17, 200)]), min_size=1, max_size=4).map(
    lambda parts: tuple(token for part in parts for token in part)
)


@settings(max_examples=40)
@given(
    calls=st.lists(st.tuples(st.booleans(), CONVERSATION), max_size=25),
    limit_tokens=st.integers(0, 150),
    on_disk=st.booleans(),
)
def test_whatever_comes_the_bound_holds_and_every_hit_is_right(
    calls: list[tuple[bool, Tokens]], limit_tokens: int, on_disk: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = PrefixStore(Path(directory), engine="e", limit_bytes=20_000) if on_disk else None
        prefixes = PrefixCache(limit_bytes=limit_tokens * BYTES_PER_TOKEN, store=store)
        for keeps, tokens in calls:
            known = prefixes.known_tokens(tokens)
            if keeps:
                _keep(prefixes, tokens)
                prefixes.tidy()
            else:
                assert _fetched(prefixes, tokens) == known
            assert prefixes.counts().held_bytes <= limit_tokens * BYTES_PER_TOKEN
            assert prefixes.counts().stored_bytes <= 20_000


# --- on disk ---


def _stored(
    directory: Path, *, engine: str = "e", limit_bytes: int = 10**7, memory_tokens: int = 10_000
) -> PrefixCache:
    store = PrefixStore(directory, engine=engine, limit_bytes=limit_bytes)
    return PrefixCache(limit_bytes=memory_tokens * BYTES_PER_TOKEN, store=store)


def _tidy(prefixes: PrefixCache) -> None:
    while prefixes.tidy():
        pass


def _files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.safetensors"))


def test_what_is_on_disk_survives_the_process(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(1200))
    _keep(prefixes, (*_tokens(600), *_tokens(50, first=5000)))
    _tidy(prefixes)
    again = _stored(tmp_path)
    assert again.counts().held_bytes == 0
    assert again.counts().stored_bytes == prefixes.counts().stored_bytes > 0
    assert _fetched(again, (*_tokens(1200), 1)) == 1200
    assert _fetched(again, (*_tokens(600), *_tokens(50, first=5000), 1)) == 650


def test_what_was_evicted_from_memory_comes_back_from_disk(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path, memory_tokens=100)
    _keep(prefixes, _tokens(80))
    _tidy(prefixes)
    _keep(prefixes, _tokens(80, first=1000))
    assert prefixes.counts().held_bytes == 80 * BYTES_PER_TOKEN
    assert _fetched(prefixes, (*_tokens(80), 1)) == 80


def test_another_engine_does_not_read_them(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(50))
    _tidy(prefixes)
    assert _fetched(_stored(tmp_path, engine="other"), _tokens(50)) == 0


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path / "kv")
    _keep(prefixes, _tokens(50))
    _tidy(prefixes)
    (file,) = _files(tmp_path)
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_the_bound_on_disk_holds_and_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(50))
    _tidy(prefixes)
    bounded = _stored(tmp_path, limit_bytes=2 * prefixes.counts().stored_bytes + 500)
    for first in (1000, 2000):
        _keep(bounded, _tokens(50, first=first))
        _tidy(bounded)
        assert _fetched(bounded, (*_tokens(50), 1)) == 50
    assert len(_files(tmp_path)) == 2
    again = _stored(tmp_path)
    assert [again.known_tokens((*_tokens(50, first=first), 1)) for first in (0, 1000, 2000)] == [50, 0, 50]


def test_a_smaller_bound_at_start_removes_the_oldest_with_what_follows_it(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(3 * LONGEST_RUN_TOKENS))
    _tidy(prefixes)
    assert len(_files(tmp_path)) == 3
    smaller = _stored(tmp_path, limit_bytes=prefixes.counts().stored_bytes - 1)
    assert len(_files(tmp_path)) == 2
    assert _fetched(smaller, (*_tokens(3 * LONGEST_RUN_TOKENS), 1)) == 2 * LONGEST_RUN_TOKENS


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "gone", "another's", "no tokens"])
@pytest.mark.parametrize("when", ["before the start", "after the start"])
def test_a_damaged_file_is_removed_and_what_it_held_is_a_miss(tmp_path: Path, damage: str, when: str) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(50))
    _tidy(prefixes)
    (file,) = _files(tmp_path)
    again = _stored(tmp_path) if when == "after the start" else None
    content = bytearray(file.read_bytes())
    match damage:
        case "truncated":
            file.write_bytes(content[:-10])
        case "flipped":
            content[-3] ^= 0xFF
            file.write_bytes(content)
        case "emptied":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
        case "another's":
            mx.save_safetensors(str(file), {"weight": mx.zeros((2, 2))})
        case _:
            mx.save_safetensors(str(file), {"0.0": mx.zeros((2, 2))}, {"prefix": "[]", "run": "[]"})
    again = again or _stored(tmp_path)
    assert _fetched(again, (*_tokens(50), 1)) == 0
    assert not _files(tmp_path)
    assert again.counts().stored_bytes == 0
    _keep(again, _tokens(50))
    assert _fetched(again, (*_tokens(50), 1)) == 50


def test_a_file_whose_beginning_is_gone_is_removed(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(2 * LONGEST_RUN_TOKENS))
    _tidy(prefixes)
    first = max(_files(tmp_path), key=lambda file: b'"prefix":"[]"' in file.read_bytes())
    first.unlink()
    assert _stored(tmp_path).counts().stored_bytes == 0
    assert not _files(tmp_path)


def test_a_disk_that_cannot_be_written_costs_only_what_would_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(50))

    def full(*_: object) -> None:
        raise RuntimeError("[save_safetensors] No space left on device")

    monkeypatch.setattr("gateway.engine.prefix_store.mx.save_safetensors", full)
    _tidy(prefixes)
    assert prefixes.counts().stored_bytes == 0
    assert _fetched(prefixes, (*_tokens(50), 1)) == 50


def test_a_process_that_was_ended_while_it_wrote_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    prefixes = _stored(tmp_path)
    _keep(prefixes, _tokens(50))
    _tidy(prefixes)
    (file,) = _files(tmp_path)
    (file.parent / "draft.safetensors").write_bytes(file.read_bytes()[:100])
    again = _stored(tmp_path)
    assert _files(tmp_path) == [file]
    assert _fetched(again, (*_tokens(50), 1)) == 50
