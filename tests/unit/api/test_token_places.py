"""Where tokens begin in a completion's text, and what they are called."""

import pytest

from gateway.api.completion_form import TokenPlaces
from gateway.contracts.logprobs import TokenLogprob, TopLogprob


def _entry(token: str, utf8: bytes | None, *top: TopLogprob) -> TokenLogprob:
    return TokenLogprob(token=token, logprob=-1.0, bytes=None if utf8 is None else tuple(utf8), top_logprobs=top)


def _top(name: str, logprob: float, utf8: bytes) -> TopLogprob:
    return TopLogprob(token=name, logprob=logprob, bytes=tuple(utf8))


def _offsets(text: str, *entries: TokenLogprob) -> tuple[int, ...]:
    return TokenPlaces(echo=False).add(text, entries).text_offset


def test_a_token_of_structure_takes_room_only_where_the_text_has_it() -> None:
    start, word = _entry("<s>", None), _entry("hi", b"hi")
    assert _offsets("hihi", start, word, word) == (0, 0, 2)
    assert _offsets("<s>hihi", start, word, word) == (0, 3, 5)


def test_no_token_begins_behind_the_text() -> None:
    # A vocabulary may write a space before a first word that its decoder leaves out.
    assert _offsets("hi", _entry(" hi", b" hi"), _entry("<end>", None)) == (0, 2)


@pytest.mark.parametrize("cut", range(1, 6))
def test_places_do_not_depend_on_how_the_answer_is_cut(cut: int) -> None:
    entries = [_entry("?", bytes([byte])) for byte in "aébcd".encode()]
    whole = TokenPlaces(echo=True).add("aébcd", entries)
    places = TokenPlaces(echo=True)
    first, second = places.add("aébcd", entries[:cut]), places.add("", entries[cut:])
    assert first.text_offset + second.text_offset == whole.text_offset == (0, 1, 1, 2, 3, 4)
    assert first.token_logprobs + second.token_logprobs == whole.token_logprobs == (None, *[-1.0] * 5)


def test_of_tokens_with_one_name_the_likeliest_is_told() -> None:
    tops = [_top("a", logprob, b"a") for logprob in (-0.5, -2.0)]
    (named,) = TokenPlaces(echo=False).add("b", [_entry("b", b"b", *tops)]).top_logprobs
    assert named == {"a": -0.5, "b": -1.0}


def test_parts_of_a_character_are_told_apart() -> None:
    tops = [_top("\N{REPLACEMENT CHARACTER}", -byte, bytes([byte])) for byte in (0xC3, 0xC4)]
    (named,) = TokenPlaces(echo=False).add("b", [_entry("b", b"b", *tops)]).top_logprobs
    assert named == {"bytes:\\xc3": -0xC3, "bytes:\\xc4": -0xC4, "b": -1.0}
