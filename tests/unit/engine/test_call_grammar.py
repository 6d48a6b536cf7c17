"""What a grammar lets through where calls may be made: text with calls in it, or calls instead of a document."""

import json
from functools import cache
from typing import Any

import jsonschema
import llguidance
import pytest
from tokenizers import AddedToken, Tokenizer

from gateway.contracts.tools import FunctionDefinition, FunctionTool
from gateway.engine.call_grammar import calls_in_text, calls_or_document
from gateway.engine.grammar import GrammarError, Grammars
from gateway.engine.tool_calls import CallScanner
from gateway.engine.tool_syntax import JSON_SYNTAX, ToolSyntax, parse_held_call
from gateway.wire import GrammarKind, GrammarSpec, ToolUse
from tests.support.tiny_model import END, grammars, tokenizer
from tests.support.walks import Walker

MARKS = ("<tool_call>", "</tool_call>", "<think>", "</think>")
SYNTAX = ToolSyntax(start=MARKS[0], end=MARKS[1], parse=parse_held_call, writes_json=True, in_template=True)
OPEN_ENDED = ToolSyntax(start="[TOOL_CALLS]", end="", parse=parse_held_call, writes_json=True, in_template=True)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"enum": [1, 22]}}, "required": ["n"]}
STRICT = FunctionTool(function=FunctionDefinition(name="f", parameters=SCHEMA, strict=True))
LOOSE = FunctionTool(function=FunctionDefinition(name="g", parameters=SCHEMA))
TOOLS = (STRICT, LOOSE)
FORM = GrammarSpec(
    kind=GrammarKind.JSON_SCHEMA,
    source='{"type": "array", "items": {"enum": ["<tool_call>", "x"]}}',
    param="response_format",
)

F = '<tool_call>\n{"name": "f", "arguments": {"n": 22}}\n</tool_call>'
G = '<tool_call>{"name": "g", "arguments": {"anything": ["</tool_call>"]}}</tool_call>'
WRONG = '<tool_call>{"name": "f", "arguments": {"n": 3}}</tool_call>'
UNKNOWN = '<tool_call>{"name": "h", "arguments": {}}</tool_call>'


@cache
def _with_special_marks() -> tuple[Grammars, Tokenizer, dict[str, int]]:
    made = Tokenizer.from_str(tokenizer().to_str())
    made.add_special_tokens(  # pyright: ignore[reportUnknownMemberType] - untyped
        [AddedToken(mark, special=True) for mark in MARKS]
    )
    ids = {token.content: number for number, token in made.get_added_tokens_decoder().items() if token.content in MARKS}
    return Grammars(llguidance.LLTokenizer(made.to_str(), eos_token=[END]), [END]), made, ids


def _accepts(compiler: Grammars, spec: GrammarSpec, tokens: list[int]) -> bool:
    matcher = compiler.compile(spec).matcher
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def _accepts_text(spec: GrammarSpec, text: str) -> bool:
    return _accepts(grammars(), spec, grammars().tokenizer.tokenize_str(text))


@pytest.mark.parametrize("text", ["", "a < b", "half <tool", F, f"Look:\n{F} and\n{G} so", F + F, G, "{}"])
def test_text_may_have_calls_anywhere(text: str) -> None:
    assert _accepts_text(calls_in_text(TOOLS, SYNTAX, {}), text)


@pytest.mark.parametrize("text", [WRONG, UNKNOWN, f"{F}{WRONG}", "x <tool_call> y", F[:-3], "<tool_call>"])
def test_what_follows_the_mark_of_a_call_is_one(text: str) -> None:
    assert not _accepts_text(calls_in_text(TOOLS, SYNTAX, {}), text)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Plain.", True),
        (f"<think>why</think>Look:\n{F}<think>", True),
        (f"{F.replace(MARKS[1], '')}", False),
        (WRONG, False),
        ("</tool_call>", False),
    ],
)
def test_marks_that_are_tokens_are_matched_as_such_and_other_tokens_of_structure_are_free(
    text: str, *, taken: bool
) -> None:
    compiler, encoder, ids = _with_special_marks()
    tokens: list[int] = encoder.encode(text, add_special_tokens=False).ids
    assert _accepts(compiler, calls_in_text(TOOLS, SYNTAX, ids), tokens) is taken


def test_a_mark_that_is_spelt_out_begins_a_call_too() -> None:
    """A reader cannot tell it from the token."""
    compiler, _, ids = _with_special_marks()
    spec = calls_in_text(TOOLS, SYNTAX, ids)
    spelt = compiler.tokenizer.tokenize_str("x <tool_call> y")
    assert not _accepts(compiler, spec, spelt)
    call = compiler.tokenizer.tokenize_str('<tool_call>{"name": "f", "arguments": {"n": 1}}')
    assert _accepts(compiler, spec, [*call, ids[MARKS[1]]])


def test_a_call_without_a_mark_of_its_end_ends_the_answer() -> None:
    spec = calls_in_text(TOOLS, OPEN_ENDED, {})
    call = 'x[TOOL_CALLS]{"name": "f", "arguments": {"n": 1}}'
    assert _accepts_text(spec, call)
    assert not _accepts_text(spec, f"{call} y")


def test_a_mark_of_several_tokens_cannot_be_told_from_text_and_is_refused() -> None:
    syntax = ToolSyntax(start="<think>tools</think>", end="", parse=parse_held_call, writes_json=True, in_template=True)
    with pytest.raises(GrammarError, match="tool_choice"):
        calls_in_text(TOOLS, syntax, _with_special_marks()[2])


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("[]", True),
        ('["<tool_call>"]', True),
        (F, True),
        (F + "\n" + G, True),
        ("Look: " + F, False),
        (F + "[]", False),
        ("[]" + F, False),
        (WRONG, False),
        ("text", False),
        ("", False),
    ],
)
def test_an_answer_is_calls_or_a_document(text: str, *, taken: bool) -> None:
    use = ToolUse(tools=TOOLS, demanded=False, parallel=True)
    assert _accepts_text(calls_or_document(use, SYNTAX, {}, FORM), text) is taken


def test_without_parallel_calls_there_is_one_or_a_document() -> None:
    spec = calls_or_document(ToolUse(tools=TOOLS, demanded=False, parallel=False), SYNTAX, {}, FORM)
    assert _accepts_text(spec, F)
    assert not _accepts_text(spec, F + F)


def test_marks_of_several_tokens_are_matched_where_no_text_may_come() -> None:
    compiler, encoder, ids = _with_special_marks()
    syntax = ToolSyntax(
        start="<think>tools</think>", end="</tool_call>", parse=parse_held_call, writes_json=True, in_template=True
    )
    spec = calls_or_document(ToolUse(tools=TOOLS, demanded=False, parallel=True), syntax, ids, FORM)
    text = '<think>tools</think>{"name": "f", "arguments": {"n": 1}}</tool_call>'
    assert _accepts(compiler, spec, encoder.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_model_writes_is_calls_that_validate_or_a_document_that_does(seed: int) -> None:
    use = ToolUse(tools=(STRICT,), demanded=False, parallel=True)
    spec = calls_or_document(use, JSON_SYNTAX, {}, FORM)
    written = Walker(grammars()).walk(grammars().compile(spec), seed=seed, max_tokens=400)
    if written is None:
        return
    scanner = CallScanner(SYNTAX, use, held=True, first_only=True)
    parts = [*(scanner.feed(character) for character in written), scanner.finish(cut=False)]
    shown, calls = "".join(text for text, _ in parts), [call for _, found in parts for call in found]
    if not calls:
        jsonschema.validate(json.loads(shown), json.loads(FORM.source))
        return
    assert shown == ""
    for call in calls:
        jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
