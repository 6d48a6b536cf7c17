"""What a request's prompt ends with, and so how its answer begins."""

from pathlib import Path
from typing import Any

import pytest

from gateway.contracts.tools import FunctionDefinition, FunctionTool
from gateway.engine.mlx_tokenizer import WrappedTokenizer
from gateway.engine.prompt import Prompt, prompt_of, scanner_of, splitter_of
from gateway.engine.window import Refusal
from gateway.wire import GrammarKind, GrammarSpec, ToolUse
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.engine_client import submit

TOOLS = (FunctionTool(function=FunctionDefinition(name="f")),)
DEMANDED = ToolUse(tools=TOOLS, demanded=True, parallel=True)
OFFERED = ToolUse(tools=TOOLS, demanded=False, parallel=True)
STRICT = ToolUse(
    tools=(FunctionTool(function=FunctionDefinition(name="f", strict=True)),), demanded=False, parallel=True
)
GRAMMAR = GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source="{}", param="response_format")
SWITCHED = "{{ messages[-1].content }}|{% if enable_thinking %}<think>\n{% endif %}"
ALWAYS = "{{ messages[-1].content }}|<think>{{ '\\n' }}"
JSON_FAMILY = "{{ tools }}{#- <tool_call>tool_call.name #}|"
QWEN_CODER = "{{ tools }}{#- <tool_call>\n<function= #}|"
MISTRAL = "{{ tools }}{#- [TOOL_CALLS] #}|"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


def _prompt(directory: Path, template: str, **fields: Any) -> tuple[str, Prompt]:
    """Return what stands after the messages, and the prompt."""
    wrapper = byte_tokenizer(directory, template, "<think>", "</think>")
    prompt = prompt_of(submit("a", "Hi", **fields), WrappedTokenizer(wrapper))
    return wrapper.decode(list(prompt.tokens)).rpartition("|")[2], prompt


@pytest.mark.parametrize(
    ("template", "arguments", "fields", "end", "thinking"),
    [
        (SWITCHED, {"enable_thinking": True}, {}, "<think>\n", True),
        (SWITCHED, {"enable_thinking": False}, {}, "", False),
        (ALWAYS, {"enable_thinking": False}, {}, "<think>\n", True),
        (ALWAYS, {}, {"tools": OFFERED}, "<think>\n", True),
        (ALWAYS, {}, {"tools": STRICT}, "<think>\n", True),
        # What a grammar holds does not reason: the template is told so, or its tag is closed.
        (SWITCHED, {"enable_thinking": True}, {"grammar": GRAMMAR}, "", False),
        (ALWAYS, {}, {"grammar": GRAMMAR}, "<think>\n</think>\n\n", False),
        (SWITCHED, {"enable_thinking": True}, {"tools": DEMANDED}, "<tool_call>\n", False),
        (ALWAYS, {}, {"tools": DEMANDED}, "<think>\n</think>\n\n<tool_call>\n", False),
        # The mark is given only where JSON follows it.
        (JSON_FAMILY, {}, {"tools": DEMANDED}, "<tool_call>\n", False),
        (JSON_FAMILY, {}, {"tools": OFFERED}, "", False),
        (MISTRAL, {}, {"tools": DEMANDED}, "", False),
    ],
)
def test_the_prompt_ends_where_the_answer_can_begin(
    directory: Path, template: str, arguments: dict[str, object], fields: dict[str, object], end: str, *, thinking: bool
) -> None:
    text, prompt = _prompt(directory, template, template_arguments=arguments, **fields)
    assert text == end
    assert prompt.thinking is thinking


def test_an_empty_prompt_is_refused(directory: Path) -> None:
    with pytest.raises(Refusal, match="empty prompt"):
        _prompt(directory, "{#- nothing #}")


def test_a_template_that_fails_is_the_requests_failure(directory: Path) -> None:
    with pytest.raises(Refusal, match="refuses these messages: no") as caught:
        _prompt(directory, "{{ raise_exception('no') }}")
    assert caught.value.param == "messages"


def test_a_demanded_call_is_read_as_json_whatever_the_familys_syntax_is(directory: Path) -> None:
    tokenizer = WrappedTokenizer(byte_tokenizer(directory, MISTRAL))
    scanner = scanner_of(tokenizer, submit("a", "Hi", tools=DEMANDED))
    assert scanner is not None
    assert scanner.feed('{"name": "f", "arguments": {}}') == ("", ())
    text, (call,) = scanner.finish(cut=False)
    assert (text, call.function.name, len(call.id)) == ("", "f", 9)


@pytest.mark.parametrize("fields", [{"tools": STRICT}, {"tools": OFFERED, "grammar": GRAMMAR}])
@pytest.mark.parametrize("template", [MISTRAL, QWEN_CODER])
def test_a_call_that_a_grammar_holds_is_read_as_json_between_the_familys_marks(
    directory: Path, template: str, fields: dict[str, Any]
) -> None:
    tokenizer = WrappedTokenizer(byte_tokenizer(directory, template))
    scanner = scanner_of(tokenizer, submit("a", "Hi", **fields))
    assert scanner is not None
    syntax = tokenizer.tool_syntax
    shown, calls = scanner.feed(f'{syntax.start}{{"name": "f", "arguments": {{"a": 1e999}}}}{syntax.end}')
    more, later = scanner.finish(cut=False)
    assert shown + more == ""
    # As it was written: Python would make infinity of it, which is no JSON.
    assert [call.function.arguments for call in (*calls, *later)] == ['{"a": 1e999}']


def test_a_document_is_not_searched_for_calls(directory: Path) -> None:
    tokenizer = WrappedTokenizer(byte_tokenizer(directory, QWEN_CODER))
    document = '["<tool_call>", "</tool_call>"]'
    for pieces in ([document], list(document)):
        scanner = scanner_of(tokenizer, submit("a", "Hi", tools=OFFERED, grammar=GRAMMAR))
        assert scanner is not None
        assert "".join(scanner.feed(piece)[0] for piece in pieces) + scanner.finish(cut=False)[0] == document


@pytest.mark.parametrize(
    ("fields", "is_parted"),
    [({}, True), ({"tools": STRICT}, True), ({"tools": DEMANDED}, False), ({"grammar": GRAMMAR}, False)],
)
def test_what_a_grammar_holds_from_its_first_token_has_no_reasoning_in_it(
    directory: Path, fields: dict[str, Any], *, is_parted: bool
) -> None:
    tokenizer = WrappedTokenizer(byte_tokenizer(directory, ALWAYS, "<think>", "</think>"))
    splitter = splitter_of(tokenizer, submit("a", "Hi", **fields), Prompt(tokens=(1,), thinking=False))
    assert (splitter is not None) is is_parted


def test_nothing_is_looked_for_that_cannot_come(directory: Path) -> None:
    tokenizer = WrappedTokenizer(byte_tokenizer(directory, "x"))
    assert splitter_of(tokenizer, submit("a", "Hi"), Prompt(tokens=(1,), thinking=False)) is None
    assert scanner_of(tokenizer, submit("a", "Hi")) is None
