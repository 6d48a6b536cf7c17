"""Choices and log-probabilities as the official client reads them, over a real server and a scripted engine."""

from collections import defaultdict
from collections.abc import Generator, Iterator

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionTokenLogprob

from gateway.settings import Settings
from tests.support.served import SCRIPTED, Served, held_rows, serving

LANGUAGES = "Grüße, 日本語, 🙂!"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(state_dir=str(tmp_path_factory.mktemp("state")))
    with serving(settings, [SCRIPTED / "tutor"]) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


def _ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


# --- choices ---


def test_each_choice_is_whole_and_the_prompt_counts_once(client: openai.OpenAI) -> None:
    one = client.chat.completions.create(model="tutor", messages=_ask("count"))
    three = client.chat.completions.create(model="tutor", messages=_ask("count"), n=3)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert {choice.message.content for choice in three.choices} == {one.choices[0].message.content}
    assert {choice.finish_reason for choice in three.choices} == {"stop"}
    assert one.usage is not None
    assert three.usage is not None
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    assert three.usage.total_tokens == three.usage.prompt_tokens + three.usage.completion_tokens


def test_choices_stream_under_their_own_index_and_each_has_its_role_and_end(client: openai.OpenAI) -> None:
    texts: defaultdict[int, str] = defaultdict(str)
    roles: defaultdict[int, list[str]] = defaultdict(list)
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    ids: set[str] = set()
    stream = client.chat.completions.create(
        model="tutor", messages=_ask("languages"), n=4, stream=True, stream_options={"include_usage": True}
    )
    *parts, trailer = list(stream)
    for part in parts:
        ids.add(part.id)
        (choice,) = part.choices
        texts[choice.index] += choice.delta.content or ""
        roles[choice.index] += [choice.delta.role] if choice.delta.role else []
        reasons[choice.index] += [choice.finish_reason] if choice.finish_reason else []
    assert texts == dict.fromkeys(range(4), LANGUAGES)
    assert [roles[index] for index in range(4)] == [["assistant"]] * 4
    assert [reasons[index] for index in range(4)] == [["stop"]] * 4
    assert len(ids) == 1
    assert trailer.usage is not None
    assert trailer.usage.completion_tokens % 4 == 0


def test_the_clients_stream_helper_puts_choices_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="tutor", messages=_ask("count"), n=2) as stream:
        completion = stream.get_final_completion()
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert len({choice.message.content for choice in completion.choices}) == 1


def test_every_choice_is_cut_at_the_limit_and_at_a_stop_string(client: openai.OpenAI) -> None:
    cut = client.chat.completions.create(model="tutor", messages=_ask("count"), n=2, max_completion_tokens=3)
    assert [(choice.message.content, choice.finish_reason) for choice in cut.choices] == [("one", "length")] * 2
    stopped = client.chat.completions.create(model="tutor", messages=_ask("count"), n=2, stop="four")
    assert [choice.message.content for choice in stopped.choices] == ["one two three "] * 2


def test_a_client_that_leaves_frees_the_rows_of_all_choices(client: openai.OpenAI, served: Served) -> None:
    stream = client.chat.completions.create(model="tutor", messages=_ask("slowly"), n=3, stream=True)
    for part in stream:
        if part.choices[0].index == 2:
            break
    stream.close()
    with httpx.Client(base_url=served.url) as http:
        for _ in range(200):
            if held_rows(http, served.references["tutor"]) == 0:
                return
    pytest.fail("rows are held for nobody")


# --- log-probabilities ---


def test_log_probabilities_spell_the_answer_byte_by_byte(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model="tutor", messages=_ask("languages"), logprobs=True, top_logprobs=3
    )
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert bytes(byte for entry in logprobs.content for byte in entry.bytes or ()).decode() == LANGUAGES
    assert all(len(entry.top_logprobs) == 3 for entry in logprobs.content)
    assert all(entry.logprob <= 0 for entry in logprobs.content)
    assert logprobs.refusal is None


def test_the_same_entries_come_in_a_stream_each_with_its_text(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tutor", messages=_ask("languages"), logprobs=True, top_logprobs=2)
    stream = client.chat.completions.create(
        model="tutor", messages=_ask("languages"), logprobs=True, top_logprobs=2, stream=True
    )
    entries: list[ChatCompletionTokenLogprob] = []
    for part in stream:
        (choice,) = part.choices
        content = choice.logprobs.content or [] if choice.logprobs else []
        text = bytes(byte for entry in content for byte in entry.bytes or ()).decode()
        assert text == (choice.delta.content or "")
        entries += content
    assert whole.choices[0].logprobs is not None
    assert entries == whole.choices[0].logprobs.content


def test_a_stop_string_takes_its_entries_with_it(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="tutor", messages=_ask("count"), logprobs=True, stop=" four")
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    spelt = "".join(entry.token for entry in logprobs.content or [])
    assert spelt == completion.choices[0].message.content == "one two three"
    assert all(entry.top_logprobs == [] for entry in logprobs.content or [])


def test_without_log_probabilities_the_field_is_null(served: Served) -> None:
    """Never an empty object, which clients fail on."""
    body = {"model": "tutor", "messages": _ask("count"), "logprobs": False}
    whole = httpx.post(f"{served.url}/v1/chat/completions", json=body).json()
    assert whole["choices"][0]["logprobs"] is None


# --- what a scripted engine cannot do ---


def test_a_bias_of_a_token_that_is_none_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="tutor", messages=_ask("count"), logit_bias={"3": 1, "5000": 1})
    assert refused.value.param == "logit_bias.5000"
    assert "5000" in refused.value.message


def test_a_scripted_engine_refuses_a_form_that_it_cannot_hold_to(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="tutor", messages=_ask("count"), response_format={"type": "json_object"})
    assert refused.value.param == "response_format"
    assert "no logits" in refused.value.message


@pytest.mark.parametrize(
    "fields", [{"n": 9}, {"top_k": -2}, {"min_p": 2}, {"presence_penalty": 3}, {"top_logprobs": 1}]
)
def test_a_value_out_of_range_names_its_field(served: Served, fields: dict[str, object]) -> None:
    body = {"model": "tutor", "messages": _ask("count"), **fields}
    response = httpx.post(f"{served.url}/v1/chat/completions", json=body)
    assert response.status_code == 400
    (name,) = fields
    assert response.json()["error"]["param"] == name
