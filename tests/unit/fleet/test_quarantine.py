"""Who is suspect after a crash, and who is blocked."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet import quarantine as module
from gateway.fleet.quarantine import Quarantine, Standing, content_of
from gateway.wire import Sampling, Score
from tests.support.engine_client import submit

CLEAR, SUSPECT, BLOCKED = Standing


def standings(quarantine: Quarantine, contents: str, *, now_s: float = 0.0) -> list[Standing]:
    return [quarantine.standing(content, now_s=now_s) for content in contents]


def test_all_that_was_at_work_is_suspect() -> None:
    it = Quarantine(kept_s=10)
    assert it.empty
    it.crashed("ab", now_s=0)
    assert standings(it, "abc") == [SUSPECT, SUSPECT, CLEAR]
    assert not it.empty


def test_a_suspect_that_was_alone_at_a_crash_is_blocked_and_one_in_company_is_not() -> None:
    it = Quarantine(kept_s=10)
    it.crashed("ab", now_s=0)
    it.crashed("ac", now_s=0)
    assert standings(it, "abc") == [SUSPECT] * 3
    it.crashed("a", now_s=0)
    assert standings(it, "abc") == [BLOCKED, SUSPECT, SUSPECT]


def test_the_first_crash_blocks_nobody_even_alone() -> None:
    it = Quarantine(kept_s=10)
    it.crashed("a", now_s=0)
    assert standings(it, "a") == [SUSPECT]


def test_one_that_ends_is_suspect_no_more() -> None:
    it = Quarantine(kept_s=10)
    it.crashed("ab", now_s=0)
    it.survived("a")
    assert standings(it, "ab") == [CLEAR, SUSPECT]
    it.crashed("a", now_s=0)
    assert standings(it, "a") == [SUSPECT]


def test_what_is_known_ages() -> None:
    it = Quarantine(kept_s=10)
    it.crashed("a", now_s=0)
    it.crashed("a", now_s=1)
    assert standings(it, "a", now_s=10.9) == [BLOCKED]
    assert standings(it, "a", now_s=11) == [CLEAR]
    it.crashed("a", now_s=11)
    assert standings(it, "a", now_s=11) == [SUSPECT]
    it.crashed("b", now_s=30)
    it.survived("b")
    assert it.empty


def test_memory_is_bounded_and_the_longest_known_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CAPACITY", 3)
    it = Quarantine(kept_s=10)
    for content in "abc":
        it.crashed(content, now_s=0)
    it.crashed("a", now_s=1)
    it.crashed("d", now_s=2)
    assert standings(it, "abcd", now_s=2) == [BLOCKED, CLEAR, SUSPECT, SUSPECT]


@given(st.lists(st.frozensets(st.sampled_from("abcd"), max_size=4), max_size=12))
def test_nobody_is_blocked_who_was_not_alone_at_a_crash(crashes: list[frozenset[str]]) -> None:
    it = Quarantine(kept_s=10)
    for contents in crashes:
        it.crashed(contents, now_s=0)
    for content in "abcd":
        blocked = it.standing(content, now_s=0) is BLOCKED
        first = next((index for index, contents in enumerate(crashes) if content in contents), len(crashes))
        assert blocked == ({content} in [set(contents) for contents in crashes[first + 1 :]])


def test_a_content_is_all_but_the_requests_id_and_tells_nothing_of_it() -> None:
    asked = submit("r1", "a secret")
    content = content_of(asked)
    assert content == content_of(msgspec.structs.replace(asked, request_id="r2"))
    assert content != content_of(submit("r1", "another secret"))
    assert content != content_of(submit("r1", "a secret", sampling=Sampling(temperature=0.5)))
    assert "secret" not in content
    score = Score(request_id="r1", tokens=(1, 2), messages=(), template_arguments={}, top_k=1)
    assert content_of(score) == content_of(msgspec.structs.replace(score, request_id="r2"))
