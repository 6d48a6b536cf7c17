from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.stop_strings import StopMatcher

_ALPHABET = "ab日"
_stops = st.lists(st.text(_ALPHABET, min_size=1, max_size=4), max_size=3)
_pieces = st.lists(st.text(_ALPHABET, max_size=5), max_size=12)


def _cut_at_first_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Read one character at a time and look back: the definition, without any holding back."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)], True
    return text, False


def _feed_all(pieces: Sequence[str], stops: Sequence[str]) -> tuple[str, bool]:
    matcher = StopMatcher(stops)
    shown = ""
    for piece in pieces:
        shown += matcher.feed(piece)
        if matcher.matched:
            return shown, True
    return shown + matcher.flush(), False


@given(_pieces, _stops)
def test_streamed_text_is_the_text_cut_at_its_first_stop_however_it_is_split(
    pieces: list[str], stops: list[str]
) -> None:
    assert _feed_all(pieces, stops) == _cut_at_first_stop("".join(pieces), stops)


@given(_pieces, _stops)
def test_only_what_may_begin_a_stop_string_is_held_back(pieces: list[str], stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    text = shown = ""
    for piece in pieces:
        text += piece
        shown += matcher.feed(piece)
        if matcher.matched:
            return
        held = text[len(shown) :]
        ends = [text[-length:] for length in range(1, len(text) + 1)]
        longest = max((end for end in ends if any(stop.startswith(end) for stop in stops)), key=len, default="")
        assert held == longest


def test_without_stop_strings_everything_passes_at_once() -> None:
    matcher = StopMatcher(())
    assert matcher.feed("all of it") == "all of it"
    assert matcher.flush() == ""


def test_a_stop_string_spread_over_pieces_is_never_let_out() -> None:
    matcher = StopMatcher(["END"])
    assert [matcher.feed(piece) for piece in ("the E", "N", "D of it")] == ["the ", "", ""]
    assert matcher.matched


def test_text_that_only_began_like_a_stop_string_is_not_lost() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.feed("EN") == ""
    assert matcher.feed("EMY") == "ENEMY"
