"""What a request's prompt ends with, and so how its answer begins."""

from pathlib import Path
from typing import Any

import msgspec
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
GRAMMAR = GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source="{}", param="response_format")
SWITCHED = "{{ messages[-1].content }}|{% if enable_thinking %}<think>\n{% endif %}"
ALWAYS = "{{ messages[-1].content }}|<think>{{ '\\n' }}"
JSON_FAMILY = "{{ tools }}{#- <tool_call>tool_call.name #}|"
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
    scanner = scanner_of(tokenizer, DEMANDED)
    assert scanner is not None
    assert scanner.feed('{"name": "f", "arguments": {}}') == ("", ())
    text, (call,) = scanner.finish(cut=False)
    assert (text, call.function.name, len(call.id)) == ("", "f", 9)


def test_nothing_is_looked_for_that_cannot_come(directory: Path) -> None:
    tokenizer = WrappedTokenizer(byte_tokenizer(directory, "x"))
    assert splitter_of(tokenizer, Prompt(tokens=(1,), thinking=False)) is None
    assert scanner_of(tokenizer, None) is None
    assert msgspec.structs.asdict(OFFERED)["demanded"] is False
