import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.scripted_tokenizer import ScriptedDetokenizer, ScriptedTokenizer, last_user_text
from gateway.engine.tokenizer import TemplateError, plain_chat
from gateway.wire import WireMessage


def _is_valid(text: str) -> bool:
    return text.encode().decode() == text and "\N{REPLACEMENT CHARACTER}" not in text


@given(st.text().filter(_is_valid))
def test_each_delta_is_whole_characters_and_together_they_are_the_text(text: str) -> None:
    detokenizer = ScriptedDetokenizer()
    deltas = [detokenizer.add(byte) for byte in text.encode()]
    assert all(_is_valid(delta) for delta in deltas)
    assert "".join(deltas) + detokenizer.finish() == text


def test_an_unfinished_character_ends_as_a_replacement() -> None:
    detokenizer = ScriptedDetokenizer()
    assert "".join(detokenizer.add(byte) for byte in "a🙂".encode()[:-1]) == "a"
    assert detokenizer.finish() == "\N{REPLACEMENT CHARACTER}"


@given(st.text().filter(_is_valid))
def test_the_last_user_message_is_read_back(text: str) -> None:
    messages = [WireMessage("user", "first"), WireMessage("assistant", "so?"), WireMessage("user", text)]
    assert last_user_text(ScriptedTokenizer().encode_chat(messages, {})) == text


def test_a_prompt_without_a_user_message_has_no_last_one() -> None:
    assert last_user_text(ScriptedTokenizer().encode_chat([WireMessage("system", "be brief")], {})) == ""


def test_of_a_prompt_that_is_no_chat_the_whole_is_read() -> None:
    assert last_user_text(ScriptedTokenizer().encode_text("Once upon")) == "Once upon"
    assert last_user_text([0xFF, *b"a"]) == "\N{REPLACEMENT CHARACTER}a"


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(TemplateError, match="roles"):
        ScriptedTokenizer().encode_chat([WireMessage("critic", "x")], {})


def test_the_plain_format_ends_where_the_assistant_begins() -> None:
    messages = [WireMessage("system", "Be brief."), WireMessage("user", "Hello")]
    assert plain_chat(messages) == "system: Be brief.\n\nuser: Hello\n\nassistant:"
