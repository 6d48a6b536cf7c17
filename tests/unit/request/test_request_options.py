"""What the body says of sampling and form, as the engine gets it; and what contradicts itself."""

from typing import Any

import msgspec
import pytest

from gateway.api.body import BodyDecoder
from gateway.contracts.chat import ChatRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import SamplingDefaults
from gateway.errors import InvalidRequest
from gateway.submission import submit_of
from gateway.wire import GrammarKind, GrammarSpec, Sampling, Submit
from tests.support.evaluations import make_variant

TOOL = {"type": "function", "function": {"name": "f"}}
DEFAULTS = SamplingDefaults()
DECODER = BodyDecoder(ChatRequest)


def _submit(defaults: SamplingDefaults = DEFAULTS, **fields: Any) -> Submit:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    variant = msgspec.structs.replace(make_variant("m"), sampling=defaults)
    return submit_of("r", variant, DECODER.decode(msgspec.json.encode(body)))


def _refused(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        _submit(**fields)
    return refused.value


def test_every_parameter_reaches_the_engine() -> None:
    fields: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "seed": 7,
        "presence_penalty": -0.5,
        "frequency_penalty": 1.5,
        "repetition_penalty": 1.1,
    }
    assert _submit(**fields, logit_bias={"50256": -100, "3": 0.5}).sampling == Sampling(
        **fields, logit_bias={50256: -100.0, 3: 0.5}
    )


def test_what_is_not_said_is_the_variants_or_without_effect() -> None:
    defaults = SamplingDefaults(temperature=0.3, top_p=0.8)
    assert _submit(defaults).sampling == Sampling(temperature=0.3, top_p=0.8)
    nothing = dict.fromkeys(
        ("temperature", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias")
    )
    assert _submit(defaults, **nothing).sampling == Sampling(temperature=0.3, top_p=0.8)
    assert _submit(defaults, temperature=0, top_p=1).sampling == Sampling(temperature=0.0)


def test_the_variants_own_defaults_are_what_a_request_may_turn_off() -> None:
    defaults = SamplingDefaults(top_k=20, min_p=0.1, repetition_penalty=1.1)
    assert _submit(defaults).sampling == Sampling(top_k=20, min_p=0.1, repetition_penalty=1.1)
    assert _submit(defaults, top_k=0, min_p=0, repetition_penalty=1).sampling == Sampling()


@pytest.mark.parametrize("top_k", [0, -1])
def test_no_top_k_can_be_said_in_two_ways(top_k: int) -> None:
    assert _submit(top_k=top_k).sampling.top_k == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0),
        ("n", 9),
        ("top_k", -2),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("presence_penalty", 2.1),
        ("presence_penalty", -2.1),
        ("frequency_penalty", 2.1),
        ("repetition_penalty", 0),
        ("repetition_penalty", 11),
        ("top_logprobs", 21),
        ("top_logprobs", -1),
        ("temperature", 2.1),
        ("top_p", -0.1),
        ("logprobs", "yes"),
        ("n", 1.5),
        ("logit_bias", [1]),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    refused = _refused(**{field: value})
    assert refused.param == field
    assert f"`{field}`" in refused.message


@pytest.mark.parametrize(
    ("bias", "param"),
    [({"12": 101}, "logit_bias.12"), ({"12": -100.5}, "logit_bias.12"), ({"hello": 1}, "logit_bias.hello")],
)
def test_a_bias_is_refused_with_its_key(bias: dict[str, float], param: str) -> None:
    assert _refused(logit_bias=bias).param == param


@pytest.mark.parametrize("key", ["-1", "1.0", "٣", "", "9" * 11])
def test_a_key_that_is_no_token_id_is_refused(key: str) -> None:
    assert "no token id" in _refused(logit_bias={key: 1}).message


def test_log_probabilities_are_off_or_with_a_number() -> None:
    assert _submit().top_logprobs is None
    assert _submit(logprobs=False).top_logprobs is None
    assert _submit(logprobs=True).top_logprobs == 0
    assert _submit(logprobs=True, top_logprobs=20).top_logprobs == 20


def test_top_logprobs_alone_are_refused() -> None:
    assert _refused(top_logprobs=2).param == "top_logprobs"
    assert _refused(logprobs=False, top_logprobs=2).param == "top_logprobs"


def test_forms_become_grammars() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {}}}
    wanted: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert _submit(response_format={"type": "text"}).grammar is None
    grammar = _submit(response_format=wanted).grammar
    assert grammar is not None
    assert msgspec.json.decode(grammar.source) == schema
    assert grammar.source.index('"b"') < grammar.source.index('"a"')
    any_object = GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source='{"type": "object"}', param="response_format")
    assert _submit(response_format={"type": "json_object"}).grammar == any_object
    assert _submit(response_format={"type": "json_schema", "json_schema": {"name": "n"}}).grammar == any_object


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "grammar"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "a b"}},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": True}},
        {"type": "json_object", "schema": {}},
        "json_object",
    ],
)
def test_a_form_that_is_none_is_refused(wanted: object) -> None:
    param = _refused(response_format=wanted).param
    assert param is not None
    assert param.startswith("response_format")


def test_a_form_goes_with_stop_strings_and_with_tools() -> None:
    submit = _submit(response_format={"type": "json_object"}, stop="x", tools=[TOOL])
    assert submit.grammar is not None
    assert submit.tools is not None
    assert submit.stop == ("x",)


def test_a_schema_that_is_too_deep_is_refused_before_it_is_sent_on() -> None:
    schema: dict[str, Any] = {}
    for _ in range(60):
        schema = {"items": schema}
    refused = _refused(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
    assert (refused.param, refused.code) == ("response_format", ErrorCode.INVALID_VALUE)
