"""Each family's own syntax, as mlx-lm knows it: from the model's template to the calls that a client gets.

The outputs are what the families' chat templates render for a call, so what a model of the family was trained to write.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts.tools import CalledFunction, FunctionDefinition, FunctionTool, ToolCall
from gateway.engine.mlx_tokenizer import WrappedTokenizer
from gateway.engine.tool_calls import CallScanner
from gateway.engine.tool_syntax import JSON_SYNTAX, read_calls
from gateway.wire import ToolUse, WireMessage
from tests.support.byte_tokenizer import byte_tokenizer

WEATHER = FunctionTool(
    function=FunctionDefinition(
        name="get_weather",
        description="Say the weather.",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    )
)
TOOLS = (WEATHER, FunctionTool(function=FunctionDefinition(name="noop")))
PARIS = {"city": "Paris", "days": 3}

FAMILIES: dict[str, tuple[str, str]] = {
    "json_tools": (
        "<tool_call>{{ tool_call.name }}",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}\n</tool_call>',
    ),
    "qwen3_coder": (
        "<tool_call>\n<function=",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n"
        "</function>\n</tool_call>",
    ),
    "glm47": (
        "<arg_key>",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n"
        "<arg_value>3</arg_value>\n</tool_call>",
    ),
    "gemma4": (
        "<|tool_call> <tool_call|>",
        '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:3}<tool_call|>',
    ),
    "function_gemma": (
        "<start_function_call>",
        "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:3}<end_function_call>",
    ),
    "minimax_m2": (
        "<minimax:tool_call>",
        '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n'
        '<parameter name="days">3</parameter>\n</invoke>\n</minimax:tool_call>',
    ),
    "mistral": ("[TOOL_CALLS]", '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 3}'),
    "kimi_k2": (
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
        '{"city": "Paris", "days": 3}<|tool_call_end|><|tool_calls_section_end|>',
    ),
    "longcat": (
        "<longcat_tool_call>",
        "<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n"
        "<longcat_arg_value>Paris</longcat_arg_value>\n<longcat_arg_key>days</longcat_arg_key>\n"
        "<longcat_arg_value>3</longcat_arg_value>\n</longcat_tool_call>",
    ),
    "minicpm5": (
        '<function name=" <param name="',
        '<function name="get_weather"><param name="city">Paris</param><param name="days">3</param></function>',
    ),
    "muse_spark": (
        "<atem:function_calls>",
        '<atem:function_calls>\n<atem:invoke name="get_weather">\n<atem:parameter name="city">Paris</atem:parameter>\n'
        '<atem:parameter name="days">3</atem:parameter>\n</atem:invoke>\n</atem:function_calls>',
    ),
    "pythonic": (
        "<|tool_call_start|>",
        '<|tool_call_start|>[get_weather(city="Paris", days=3)]<|tool_call_end|>',
    ),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


def _tokenizer(directory: Path, template: str | None, *special: str) -> WrappedTokenizer:
    return WrappedTokenizer(byte_tokenizer(directory, template, *special))


def _template(family: str) -> str:
    """Return a template that mlx-lm takes for the family's, and that shows the functions and the calls."""
    return (
        "{%- if tools %}{{ tools | tojson }}{%- endif %}"
        "{%- for message in messages %}{{ message.role }}: {{ message.content }}\n"
        "{%- for call in message.tool_calls %}{{ call.function.name }}({{ call.function.arguments | tojson }})"
        "{%- endfor %}{%- endfor %}{#- " + FAMILIES[family][0] + " #}"
    )


def _scan(tokenizer: WrappedTokenizer, text: str, *, cut: bool = False) -> tuple[str, list[ToolCall]]:
    scanner = CallScanner(tokenizer.tool_syntax, ToolUse(tools=TOOLS, demanded=False, parallel=True))
    parts = [*(scanner.feed(character) for character in text), scanner.finish(cut=cut)]
    return "".join(shown for shown, _ in parts), [call for _, calls in parts for call in calls]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_in_the_familys_syntax_is_read(directory: Path, family: str) -> None:
    tokenizer = _tokenizer(directory, _template(family))
    assert tokenizer.tool_syntax.in_template
    shown, calls = _scan(tokenizer, f"Let me see.\n{FAMILIES[family][1]}")
    assert shown == "Let me see."
    (call,) = calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == PARIS


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_that_is_cut_anywhere_is_neither_a_call_nor_an_error(directory: Path, family: str) -> None:
    tokenizer = _tokenizer(directory, _template(family))
    text = FAMILIES[family][1]
    end = tokenizer.tool_syntax.end
    for length in range(len(tokenizer.tool_syntax.start), len(text) - len(end)):
        assert _scan(tokenizer, text[:length], cut=True) == ("", [])


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_stands_between_the_marks_is_a_call_or_text(directory: Path, family: str) -> None:
    syntax = _tokenizer(directory, _template(family)).tool_syntax
    inner = FAMILIES[family][1].removeprefix(syntax.start).removesuffix(syntax.end or "\0")
    fragments = [inner[start:end] for start in range(0, len(inner), 5) for end in (start + 3, start + 9, len(inner))]
    for fragment in ("", " ", "{}", "[]", "null", "1", '"', "[f(", "\0", inner * 2, inner[::-1], *fragments):
        for call in read_calls(syntax, fragment, TOOLS) or ():
            assert call.function.name in {"get_weather", "noop"}
            assert isinstance(json.loads(call.function.arguments), dict)


@given(text=st.text("{}[]()<>|:,=\"' \n_argskeyvaluecallfunction", max_size=60))
def test_no_text_makes_a_parser_raise(directory: Path, text: str) -> None:
    for family in FAMILIES:
        syntax = _tokenizer(directory, _template(family)).tool_syntax
        assert read_calls(syntax, text, TOOLS) is None or read_calls(syntax, text, TOOLS)


def test_functions_reach_a_template_that_knows_them(directory: Path) -> None:
    tokenizer = _tokenizer(directory, _template("json_tools"))
    prompt = tokenizer.encode_chat([WireMessage("user", "Hello")], {}, TOOLS)
    text = byte_tokenizer(directory, _template("json_tools")).decode(prompt)
    assert '"name": "get_weather", "description": "Say the weather."' in text
    assert "null" not in text
    assert "<tools>" not in text


def test_earlier_calls_reach_the_template_with_arguments_as_values(directory: Path) -> None:
    tokenizer = _tokenizer(directory, _template("json_tools"))
    call = ToolCall(id="a", function=CalledFunction(name="get_weather", arguments='{"city": "Paris"}'))
    messages = [WireMessage("user", "Hello"), WireMessage("assistant", "", tool_calls=(call,))]
    prompt = tokenizer.encode_chat(messages, {}, TOOLS)
    text = byte_tokenizer(directory, _template("json_tools")).decode(prompt)
    assert 'get_weather({"city": "Paris"})' in text


@pytest.mark.parametrize("template", [None, "{{ messages[0].content }}", "<tool_call>{{ tool_call.name }}"])
def test_a_model_whose_template_knows_no_functions_is_told_of_them_in_words(
    directory: Path, template: str | None
) -> None:
    tokenizer = _tokenizer(directory, template)
    assert tokenizer.tool_syntax is JSON_SYNTAX


def test_marks_that_are_special_tokens_are_seen_where_calls_are_looked_for(directory: Path) -> None:
    marks = ("<|tool_call_start|>", "<|tool_call_end|>", "<|inner|>")
    tokenizer = _tokenizer(directory, _template("pythonic"), *marks)
    tokens = tokenizer.encode_text("a<|inner|>b<|tool_call_start|>c<|inner|><|tool_call_end|>")

    def stream(*, calls: bool, verbatim: bool) -> str:
        detokenizer = tokenizer.detokenizer(calls=calls)
        return "".join(detokenizer.add(token, verbatim=verbatim) for token in tokens) + detokenizer.finish()

    assert stream(calls=False, verbatim=False) == "abc"
    assert stream(calls=True, verbatim=False) == "ab<|tool_call_start|>c<|tool_call_end|>"
    assert stream(calls=True, verbatim=True) == "a<|inner|>b<|tool_call_start|>c<|inner|><|tool_call_end|>"


def test_think_tags_that_are_special_tokens_are_seen_and_an_open_one_at_the_end_is_known(directory: Path) -> None:
    tokenizer = _tokenizer(directory, "{{ messages[0].content }}", "<think>", "</think>")
    assert tokenizer.think_tags is not None
    assert (tokenizer.think_tags.start, tokenizer.think_tags.end) == ("<think>", "</think>")
    detokenizer = tokenizer.detokenizer()
    tokens = tokenizer.encode_text("<think>why</think>so")
    assert "".join(detokenizer.add(token) for token in tokens) + detokenizer.finish() == "<think>why</think>so"
    for text, is_open in (
        ("assistant\n<think>\n", True),
        ("assistant\n<think>", True),
        ("assistant\n<think>\n\n</think>\n\n", False),
        # What a user says of tags opens none.
        ("What is <think> for?\nassistant\n", False),
        ("", False),
    ):
        assert tokenizer.ends_in_thought(tokenizer.encode_text(text)) is is_open


def test_a_model_without_think_tags_has_no_reasoning(directory: Path) -> None:
    tokenizer = _tokenizer(directory, "{{ messages[0].content }}")
    assert tokenizer.think_tags is None
    assert not tokenizer.ends_in_thought(tokenizer.encode_text("<think>"))


def test_ids_for_mistrals_templates_have_nine_characters(directory: Path) -> None:
    _, (call,) = _scan(_tokenizer(directory, _template("mistral")), FAMILIES["mistral"][1])
    assert len(call.id) == 9


def test_ids_of_another_models_calls_fit_mistrals_templates(directory: Path) -> None:
    template = (
        "{%- for message in messages %}"
        "{%- for call in message.tool_calls %}{{ call.id }}{% if call.id|length != 9 %}{{ raise_exception('9!') }}"
        "{% endif %}{% endfor %}"
        "{%- if message.tool_call_id %}={{ message.tool_call_id }};{% endif %}{%- endfor %}{#- [TOOL_CALLS] tools #}"
    )
    tokenizer = _tokenizer(directory, template)

    def rendered(call_id: str) -> str:
        call = ToolCall(id=call_id, function=CalledFunction(name="noop", arguments="{}"))
        messages = [
            WireMessage("assistant", "", tool_calls=(call,)),
            WireMessage("tool", "done", tool_call_id=call_id, name="noop"),
        ]
        return "".join(map(tokenizer.text_of, tokenizer.encode_chat(messages, {}, TOOLS)))

    assert rendered("abcDEF123") == "abcDEF123=abcDEF123;"
    made, _, answered = rendered("call_0123456789abcdef").partition("=")
    assert answered == f"{made};"
    assert made != rendered("call_x").partition("=")[0]


def test_several_calls_of_one_mark_are_all_read(directory: Path) -> None:
    text = '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]noop[ARGS]{}'
    _, calls = _scan(_tokenizer(directory, _template("mistral")), text)
    assert [call.function.name for call in calls] == ["get_weather", "noop"]


def test_kimi_k3_is_known_by_its_vocabulary_and_its_marks_around_the_answer_are_dropped(directory: Path) -> None:
    marks = ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")
    tokenizer = _tokenizer(directory, "{{ tools }}", *marks)
    assert tokenizer.think_tags is not None
    assert tokenizer.think_tags.ignored
    text = (
        '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|>'
        '<|open|>argument key="city" type="string"<|sep|>Paris<|close|>argument<|sep|>'
        '<|open|>argument key="days" type="number"<|sep|>3<|close|>argument<|sep|>'
        "<|close|>call<|sep|><|close|>tools<|sep|>"
    )
    _, (call,) = _scan(tokenizer, text)
    assert json.loads(call.function.arguments) == PARIS
