"""Nothing that a model, a file or a server wrote may command a terminal or change a Markdown document."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.report.escaping import MAX_CHARACTERS, json_text, markdown_code, markdown_text, shortened, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041tag", "\\U000e0041tag"),
        ("Zürich 東京 🙂", "Zürich 東京 🙂"),
    ],
)
def test_what_a_terminal_obeys_or_nobody_sees_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_visible_text_has_no_control_or_format_character(text: str) -> None:
    assert not {unicodedata.category(char) for char in visible(text)} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_a_long_completion_is_cut_and_says_by_how_much() -> None:
    assert shortened("x" * (MAX_CHARACTERS + 7)) == "x" * MAX_CHARACTERS + "... (7 more characters)"


def test_text_at_the_limit_is_not_cut() -> None:
    assert shortened("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("`code`", "\\`code\\`"),
        ("**bold** _em_", "\\*\\*bold\\*\\* \\_em\\_"),
        ("generation_time", "generation_time"),
        ("[x](http://e)", "\\[x](http\\://e)"),
        ("<script>", "\\<script\\>"),
        ("&lt;", "\\&lt;"),
        ("back\\slash|", "back\\\\slash\\|"),
        (":smile:", "\\:smile:"),
        ("at 10:30", "at 10:30"),
        ("two\nlines", "two\\\\nlines"),
    ],
)
def test_markdown_prints_text_as_it_stands(text: str, escaped: str) -> None:
    assert markdown_text(text) == escaped


@given(st.text())
def test_a_table_cell_holds_no_bare_pipe_and_no_line_break(text: str) -> None:
    cell = markdown_text(text)

    assert "\n" not in cell
    assert "|" not in cell.replace("\\\\", "").replace("\\|", "")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("plain", "`plain`"),
        ("a `b` c", "``a `b` c``"),
        ("`", "`` ` ``"),
        ("ends with ``", "``` ends with `` ```"),
        (" ", "`   `"),
        ("", "`(empty)`"),
    ],
)
def test_a_code_span_cannot_be_ended_by_its_text(text: str, span: str) -> None:
    assert markdown_code(text) == span


@given(st.text(alphabet=st.sampled_from("` a\n|")))
def test_the_fence_of_a_code_span_is_longer_than_any_run_inside(text: str) -> None:
    span = markdown_code(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    inside = span[len(fence) : -len(fence)]

    assert fence not in inside
    assert not inside.startswith("`")
    assert not inside.endswith("`")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_an_escaped_json_document_decodes_to_the_same(text: str) -> None:
    document = json.dumps({"text": text}, ensure_ascii=False)

    assert json.loads(json_text(document)) == {"text": text}


def test_a_json_document_holds_no_escape_sequence_of_a_terminal() -> None:
    assert json_text('"\x9b31m \u202e \U000e0041"') == '"\\u009b31m \\u202e \\udb40\\udc41"'
