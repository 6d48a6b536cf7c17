"""Calls are found in the text as it grows, sent whole, and never sent half."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.tools import FunctionDefinition, FunctionTool, ToolCall
from gateway.engine.tool_calls import CallScanner
from gateway.engine.tool_syntax import JSON_SYNTAX, ToolSyntax, read_calls
from gateway.wire import ToolUse

TOOLS = tuple(FunctionTool(function=FunctionDefinition(name=name)) for name in ("f", "g"))
F = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
G = '<tool_call>{"name": "g", "arguments": {}}</tool_call>'

_pieces = st.lists(
    st.sampled_from([F, G, "<tool_call>", "</tool_call>", "<tool", "_call>", "{", " ", "\n", "a"]), max_size=8
)


def _scanner(*, parallel: bool = True, syntax: ToolSyntax = JSON_SYNTAX) -> CallScanner:
    return CallScanner(syntax, ToolUse(tools=TOOLS, demanded=False, parallel=parallel))


def _scan(pieces: list[str], *, cut: bool = False, parallel: bool = True) -> tuple[str, list[tuple[str, str]]]:
    scanner = _scanner(parallel=parallel)
    parts = [*(scanner.feed(piece) for piece in pieces), scanner.finish(cut=cut)]
    calls = [call for _, found in parts for call in found]
    return "".join(text for text, _ in parts), [(call.function.name, call.function.arguments) for call in calls]


@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        (F, "", [("f", '{"a": 1}')]),
        (f"\n\n{F}\n{G}\n", "", [("f", '{"a": 1}'), ("g", "{}")]),
        (f"Let me see. \n{F}", "Let me see.", [("f", '{"a": 1}')]),
        (f"Let me see.\n{F}\nDone.", "Let me see.\nDone.", [("f", '{"a": 1}')]),
        (f"{F}\nDone.", "Done.", [("f", '{"a": 1}')]),
        ("no call \n", "no call \n", []),
        ("a < b <tool", "a < b <tool", []),
        ("<tool_call>not json</tool_call>", "<tool_call>not json</tool_call>", []),
        ('<tool_call>{"name": "f", "arguments": {}}', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", "argu', '<tool_call>{"name": "f", "argu', []),
        (f"<tool_call>{{</tool_call> {G}", "<tool_call>{</tool_call>", [("g", "{}")]),
    ],
)
def test_text_and_calls_are_parted(text: str, shown: str, calls: list[tuple[str, str]]) -> None:
    assert _scan([text]) == (shown, calls)


@given(pieces=_pieces, cut=st.booleans(), parallel=st.booleans())
def test_how_the_text_is_cut_changes_nothing(pieces: list[str], cut: bool, parallel: bool) -> None:
    whole = "".join(pieces)
    assert _scan(list(whole), cut=cut, parallel=parallel) == _scan([whole], cut=cut, parallel=parallel)


def test_a_call_that_is_cut_off_is_neither_a_call_nor_text() -> None:
    assert _scan([f"Look:\n{F}", '<tool_call>{"name": "g", "arg'], cut=True) == ("Look:", [("f", '{"a": 1}')])


def test_nothing_of_a_call_is_shown_while_it_grows() -> None:
    scanner = _scanner()
    assert all(scanner.feed(character) == ("", ()) for character in F[:-1])
    text, (call,) = scanner.feed(F[-1])
    assert (text, call.function.name) == ("", "f")


def test_without_parallel_calls_the_first_one_is_the_end() -> None:
    assert _scan([F, G], parallel=False) == ("", [("f", '{"a": 1}')])
    scanner = _scanner(parallel=False)
    scanner.feed(F[:-1])
    assert not scanner.done
    scanner.feed(F[-1])
    assert scanner.done


def test_a_held_call_may_have_the_mark_of_its_end_in_an_argument() -> None:
    arguments = '{"a": "</tool_call> and </tool_call>"}'
    text = f'Look:<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>{G}'
    use = ToolUse(tools=TOOLS, demanded=False, parallel=True)
    for pieces in ([text], list(text)):
        scanner = CallScanner(JSON_SYNTAX, use, held=True)
        parts = [*(scanner.feed(piece) for piece in pieces), scanner.finish(cut=False)]
        assert "".join(shown for shown, _ in parts) == "Look:"
        calls = [call for _, found in parts for call in found]
        assert [call.function.name for call in calls] == ["f", "g"]
        assert json.loads(calls[0].function.arguments) == json.loads(arguments)


@given(text=st.sampled_from(["a" + F, "{" + F, F + G, "\n" + F, "<" + F, '["' + F + '"]', "<tool"]), data=st.data())
def test_where_only_the_beginning_counts_an_answer_is_calls_or_text(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    scanner = CallScanner(JSON_SYNTAX, ToolUse(tools=TOOLS, demanded=False, parallel=True), first_only=True)
    parts = [scanner.feed(text[:cut]), scanner.feed(text[cut:]), scanner.finish(cut=False)]
    shown = "".join(piece for piece, _ in parts)
    if text.lstrip().startswith("<tool_call>"):
        assert (shown, any(calls for _, calls in parts)) == ("", True)
    else:
        assert (shown, any(calls for _, calls in parts)) == (text, False)


def _read(parsed: object) -> tuple[ToolCall, ...] | None:
    def parse(_text: str, _tools: list[dict[str, Any]]) -> Any:
        if isinstance(parsed, BaseException):
            raise parsed
        return parsed

    return read_calls(ToolSyntax(start="", end="", parse=parse, writes_json=False, in_template=True), "", TOOLS)


@pytest.mark.parametrize(
    "parsed",
    [
        None,
        [],
        "f",
        {},
        {"name": "f", "arguments": [1]},
        {"name": "f", "arguments": "not json"},
        {"name": "f", "arguments": '"a string"'},
        {"name": "f", "arguments": '{"a": NaN}'},
        {"name": "f", "arguments": {"a": float("nan")}},
        {"name": "f", "arguments": {"a": {1, 2}}},
        {"name": "f", "arguments": {"a": "\ud800"}},
        {"name": "unknown", "arguments": {}},
        {"name": None, "arguments": {}},
        {"name": ["f"], "arguments": {}},
        [{"name": "f", "arguments": {}}, {"name": "unknown", "arguments": {}}],
        ValueError("no"),
        AttributeError("no"),
        KeyError("no"),
        RecursionError("no"),
        SyntaxError("no"),
        ZeroDivisionError("no"),
    ],
)
def test_what_cannot_be_sent_as_a_call_is_none(parsed: object) -> None:
    assert _read(parsed) is None


@pytest.mark.parametrize(
    ("parsed", "arguments"),
    [
        ({"name": "f"}, "{}"),
        ({"name": "f", "arguments": {"a": "é"}}, '{"a": "é"}'),
        ({"name": "f", "arguments": '{"a": [1, null]}'}, '{"a": [1, null]}'),
        ({"name": "f", "arguments": '{"a":1e999,"b":' + "9" * 5000 + "}"}, '{"a":1e999,"b":' + "9" * 5000 + "}"),
    ],
)
def test_arguments_are_sent_as_the_json_of_an_object(parsed: object, arguments: str) -> None:
    calls = _read(parsed)
    assert calls is not None
    assert [call.function.arguments for call in calls] == [arguments]


def test_ids_are_the_models_own_or_new_ones_of_the_length_that_its_template_takes() -> None:
    own = _read([{"name": "f", "id": "functions.f:0"}, {"name": "f", "id": 5}, {"name": "f", "id": "x" * 257}])
    assert own is not None
    assert own[0].id == "functions.f:0"
    assert [call.id[:5] for call in own[1:]] == ["call_", "call_"]
    assert own[1].id != own[2].id
    syntax = ToolSyntax(
        start="", end="", parse=lambda *_: {"name": "f"}, writes_json=False, in_template=True, id_length=9
    )
    calls = read_calls(syntax, "", TOOLS)
    assert calls is not None
    (call,) = calls
    assert len(call.id) == 9
    assert call.id.isalnum()


@given(
    arguments=st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
)
def test_any_arguments_that_json_can_say_come_through(arguments: dict[str, Any]) -> None:
    written = json.dumps({"name": "f", "arguments": arguments})
    if "</tool_call>" in written:
        return
    text, calls = _scan([f"<tool_call>{written}</tool_call>"])
    assert text == ""
    assert json.loads(calls[0][1]) == arguments
