"""Reasoning is parted from the answer wherever the text is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.reasoning import ReasoningSplitter, ThinkTags

TAGS = ThinkTags(start="<think>", end="</think>", ignored=("<answer>", "</answer>"))

_pieces = st.lists(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "<", "</", "think", ">", " ", "\n", "a", "é"]),
    max_size=12,
)


def _split(pieces: list[str], *, inside: bool = False) -> tuple[str, str]:
    splitter = ReasoningSplitter(TAGS, inside=inside)
    parts = [*(splitter.feed(piece) for piece in pieces), splitter.flush()]
    return "".join(reasoning for reasoning, _ in parts), "".join(content for _, content in parts)


@pytest.mark.parametrize(
    ("text", "inside", "reasoning", "content"),
    [
        ("<think>\nWhy?\n</think>\n\nSo.", False, "Why?", "So."),
        ("Why?\n</think>\n\nSo.", True, "Why?", "So."),
        ("no tags at all \n", False, "", "no tags at all \n"),
        ("<think></think>So.", False, "", "So."),
        ("<think>cut off \n", False, "cut off", ""),
        ("cut off </thi", True, "cut off </thi", ""),
        ("A<think>x</think>B<think>y</think>C", False, "xy", "ABC"),
        ("<think>a <think> b</think>c", False, "a <think> b", "c"),
        ("a </think> b", False, "", "a </think> b"),
        ("<answer>So.</answer>", False, "", "So."),
        ("", True, "", ""),
        (" \n", False, "", " \n"),
    ],
)
def test_reasoning_and_content_are_parted(text: str, inside: bool, reasoning: str, content: str) -> None:
    assert _split([text], inside=inside) == (reasoning, content)


@given(pieces=_pieces, inside=st.booleans())
def test_how_the_text_is_cut_changes_nothing(pieces: list[str], inside: bool) -> None:
    whole = "".join(pieces)
    assert _split(pieces, inside=inside) == _split([whole], inside=inside) == _split(list(whole), inside=inside)


@given(text=st.text("abé <", max_size=30).filter(lambda text: "<think>" not in text))
def test_a_text_without_tags_is_passed_on_whole(text: str) -> None:
    assert _split(list(text)) == ("", text)


def test_text_is_let_out_as_soon_as_it_can_be_no_tag() -> None:
    splitter = ReasoningSplitter(TAGS, inside=False)
    assert [splitter.feed(piece)[1] for piece in ("ab", "<th", "x", " ", "y")] == ["ab", "", "<thx", "", " y"]
