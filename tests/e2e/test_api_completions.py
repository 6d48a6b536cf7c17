"""`POST /v1/completions` as the official client speaks it, over a real server and a scripted engine."""

import math
import threading
from collections import defaultdict
from collections.abc import Generator, Iterable
from typing import Any

import httpx
import openai
import pytest
from openai.types import CompletionChoice

from gateway.settings import EngineSettings, Settings
from tests.support.served import Served, held_rows, serving

MODEL = """
context_length = 3000
step_delay_s = 0.001
default_text = " and so on."
answers = [
    {match = "languages", text = "Grüße, 日本語!"},
    {match = "one two", text = " three four five six seven eight nine ten eleven twelve thirteen fourteen"},
    {match = "tags", text = "<think>So.</think><tool_call>{}</tool_call>"},
    {match = "endless", text = "ENDLESS"},
    {match = "silent", text = ""},
]
faults = [{match = "LATE", kind = "raise", at_token = 3}]
"""
COMPLETIONS = "/v1/completions"
LANGUAGES = "Grüße, 日本語!"
COUNTED = " three four five six"
END = "<end>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    directory = tmp_path_factory.mktemp("models") / "tutor"
    directory.mkdir()
    (directory / "scripted.toml").write_text(MODEL.replace("ENDLESS", "x" * 2500))
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")), engine=EngineSettings(max_rows=4, score_chunk_tokens=10)
    )
    with serving(settings, [directory]) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


# --- plain ---


def test_a_text_is_continued_without_a_template_up_to_sixteen_tokens(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="tutor", prompt="one two")
    (choice,) = completion.choices
    assert (choice.text, choice.finish_reason, choice.logprobs) == (COUNTED[:16], "length", None)
    assert completion.object == "text_completion"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (len("one two"), 16)


def test_nothing_is_parted_from_what_continues_a_text(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="tutor", prompt="tags", max_tokens=100)
    assert completion.choices[0].text == "<think>So.</think><tool_call>{}</tool_call>"
    assert completion.choices[0].finish_reason == "stop"


def test_tokens_are_continued_as_their_text_is(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="tutor", prompt=list(b"one two"))
    assert completion.choices[0].text == COUNTED[:16]


@pytest.mark.parametrize(
    "prompts", [["one two", "other", "languages"], [list(b"one two"), list(b"other"), list(b"languages")]]
)
def test_each_prompt_has_its_choices_in_order(client: openai.OpenAI, prompts: Any) -> None:
    completion = client.completions.create(model="tutor", prompt=prompts, n=2, max_tokens=20)
    assert [choice.index for choice in completion.choices] == list(range(6))
    texts = [choice.text for choice in completion.choices]
    assert texts[::2] == texts[1::2] == [COUNTED, " and so on.", LANGUAGES]
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == len("one twootherlanguages")
    assert completion.usage.completion_tokens == 2 * (20 + len(" and so on.") + 1 + 20)


def test_more_prompts_than_rows_and_places_in_line_are_all_answered(client: openai.OpenAI) -> None:
    prompts = [f"prompt {number}" for number in range(100)]
    completion = client.completions.create(model="tutor", prompt=prompts, max_tokens=2)
    assert [choice.text for choice in completion.choices] == [" a"] * 100
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == sum(map(len, prompts))


def test_stop_strings_and_options_are_as_in_chat(client: openai.OpenAI) -> None:
    completion = client.completions.create(
        model="tutor",
        prompt="one two",
        stop=["four"],
        seed=1,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logit_bias={"65": 1},
        best_of=1,
        user="me",
    )
    assert (completion.choices[0].text, completion.choices[0].finish_reason) == (" three ", "stop")


# --- echo and log-probabilities ---


def _legacy(choice: CompletionChoice) -> tuple[list[str], list[float], list[dict[str, float]], list[int]]:
    logprobs = choice.logprobs
    assert logprobs is not None
    lists = (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset)
    assert all(values is not None for values in lists)
    assert len({len(values or ()) for values in lists}) == 1
    return lists  # pyright: ignore[reportReturnType] - none of them is None


@pytest.mark.parametrize("prompt", ["abd", list(b"abd")])
def test_an_echo_alone_scores_the_prompt_and_generates_nothing(client: openai.OpenAI, prompt: Any) -> None:
    completion = client.completions.create(model="tutor", prompt=prompt, echo=True, max_tokens=0, logprobs=2)
    (choice,) = completion.choices
    assert (choice.text, choice.finish_reason) == ("abd", "length")
    tokens, logprobs, top, offsets = _legacy(choice)
    assert (tokens, offsets) == (["a", "b", "d"], [0, 1, 2])
    assert logprobs[0] is None
    assert top[0] is None
    assert logprobs[1:] == pytest.approx([-math.log(2), -2 * math.log(2)])
    assert set(top[2]) == {"c", "d"}
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3, 0)


def test_an_echo_is_scored_as_admin_score_scores_it(client: openai.OpenAI, http: httpx.Client) -> None:
    tokens = list("Grüße, a text of more than one chunk.".encode())
    choice = client.completions.create(model="tutor", prompt=tokens, echo=True, max_tokens=0, logprobs=0).choices[0]
    scored = http.post("/admin/score", json={"model": "tutor", "tokens": tokens}).raise_for_status().json()
    assert _legacy(choice)[1][1:] == [position["logprob"] for position in scored["positions"]]


def test_with_one_token_behind_it_the_last_entry_is_never_the_prompts(client: openai.OpenAI) -> None:
    # lm-evaluation-harness cuts off the last entry, whatever was generated: also where that is the end.
    (directly, ended) = client.completions.create(
        model="tutor", prompt=["one two", "silent"], echo=True, max_tokens=1, logprobs=1
    ).choices
    assert _legacy(directly)[0] == [*"one two", " "]
    assert _legacy(ended)[0] == [*"silent", END]


def test_the_token_that_ends_an_answer_has_an_entry(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="tutor", prompt="other", max_tokens=50, logprobs=0).choices[0]
    tokens, _, _, offsets = _legacy(choice)
    assert tokens == [*" and so on.", END]
    assert offsets == list(range(len(" and so on.") + 1))


def test_entries_of_a_stop_string_never_come(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="tutor", prompt="other", stop="so", logprobs=0).choices[0]
    assert "".join(_legacy(choice)[0]) == choice.text == " and "


def test_parts_of_a_character_begin_with_it_and_are_named_by_their_bytes(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="tutor", prompt="ü!", echo=True, max_tokens=0, logprobs=1).choices[0]
    tokens, _, top, offsets = _legacy(choice)
    assert tokens == ["bytes:\\xc3", "bytes:\\xbc", "!"]
    assert offsets == [0, 0, 1]
    assert "bytes:\\xbc" in top[1]


def test_an_echo_without_log_probabilities_is_text_alone(client: openai.OpenAI) -> None:
    alone = client.completions.create(model="tutor", prompt="one two", echo=True, max_tokens=0).choices[0]
    assert (alone.text, alone.finish_reason, alone.logprobs) == ("one two", "length", None)
    continued = client.completions.create(model="tutor", prompt="one two", echo=True, max_tokens=6).choices[0]
    assert continued.text == "one two three"


def test_the_only_token_of_a_prompt_has_no_score(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="tutor", prompt="x", echo=True, max_tokens=0, logprobs=1).choices[0]
    assert _legacy(choice) == (["x"], [None], [None], [0])


def test_a_token_of_structure_in_a_prompt_is_written_out(client: openai.OpenAI) -> None:
    choice = client.completions.create(
        model="tutor", prompt=[*b"a", 258, *b"b"], echo=True, max_tokens=0, logprobs=0
    ).choices[0]
    assert choice.text == "a<user>b"
    assert _legacy(choice)[3] == [0, 1, len("a<user>")]


# --- streams ---


def _chunks(stream: Iterable[openai.types.Completion]) -> tuple[dict[int, str], dict[int, list[str]], list[Any]]:
    """Return the texts, the finish reasons and the usages that are not null."""
    texts: defaultdict[int, str] = defaultdict(str)
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    usages: list[Any] = []
    for chunk in stream:
        assert chunk.object == "text_completion"
        usages += [chunk.usage] if chunk.usage else []
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] += [choice.finish_reason] if choice.finish_reason else []
    return texts, reasons, usages


def test_choices_of_all_prompts_stream_and_end_once(client: openai.OpenAI) -> None:
    stream = client.completions.create(
        model="tutor",
        prompt=["one two", "languages"],
        n=2,
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
    )
    texts, reasons, usages = _chunks(stream)
    assert texts == {0: COUNTED, 1: COUNTED, 2: LANGUAGES, 3: LANGUAGES}
    assert reasons == {0: ["length"], 1: ["length"], 2: ["stop"], 3: ["stop"]}
    (usage,) = usages
    assert (usage.prompt_tokens, usage.completion_tokens) == (len("one twolanguages"), 80)


def test_a_stream_says_in_pieces_what_is_answered_whole(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tutor", "prompt": "one languages two", "echo": True, "logprobs": 2}
    whole = client.completions.create(**asked).choices[0]
    text, tokens, logprobs, top, offsets = "", [], [], [], []  # pyright: ignore[reportUnknownVariableType] - empty
    for chunk in client.completions.create(**asked, stream=True):
        text += chunk.choices[0].text
        if chunk.choices[0].logprobs is not None:
            parts = _legacy(chunk.choices[0])
            tokens, logprobs = tokens + parts[0], logprobs + parts[1]
            top, offsets = top + parts[2], offsets + parts[3]
    assert text == whole.text
    assert (tokens, logprobs, top, offsets) == _legacy(whole)


def test_an_error_in_a_stream_is_its_last_event(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="engine met an error"):
        list(client.completions.create(model="tutor", prompt="LATE", stream=True))


# --- who answers ---


def test_who_answered_stands_in_header_and_fingerprint_and_may_be_pinned(http: httpx.Client, served: Served) -> None:
    reference = served.references["tutor"]
    body = {"model": "tutor", "prompt": "other"}
    response = http.post(COMPLETIONS, json=body, headers={"x-gateway-variant": reference, "x-request-id": "mine"})
    assert response.headers["x-gateway-variant"] == reference
    assert response.headers["x-request-id"] == "mine"
    assert reference.endswith(response.json()["system_fingerprint"])
    unknown = http.post(COMPLETIONS, json=body, headers={"x-gateway-variant": "nobody@01234567"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "variant_not_found")


def test_a_client_that_leaves_while_its_prompt_is_scored_frees_its_row(http: httpx.Client, served: Served) -> None:
    body = {"model": "tutor", "prompt": [1] * 2900, "echo": True, "max_tokens": 0, "logprobs": 0}
    with httpx.Client(base_url=served.url, timeout=0.1) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post(COMPLETIONS, json=body)
    assert http.post(COMPLETIONS, json=body | {"prompt": "ab"}).raise_for_status().json()["choices"][0]["text"] == "ab"
    assert held_rows(http, served.references["tutor"]) == 0


def test_a_stream_keeps_flowing_while_a_prompt_is_scored(http: httpx.Client, served: Served) -> None:
    scored = threading.Event()
    body = {"model": "tutor", "prompt": [1] * 1000, "echo": True, "max_tokens": 0, "logprobs": 0}

    def score() -> None:
        httpx.post(served.url + COMPLETIONS, json=body, timeout=60).raise_for_status()
        scored.set()

    stream = {"model": "tutor", "prompt": "endless", "max_tokens": 2600, "stream": True}
    with http.stream("POST", COMPLETIONS, json=stream) as response:
        lines = response.iter_lines()
        next(lines)
        thread = threading.Thread(target=score)
        thread.start()
        during = 0
        while not scored.is_set():
            during += next(lines).startswith("data: ")
        thread.join()
    assert during > 10  # of a hundred chunks, each a step


# --- refusals ---


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_parameter", "prompt"),
        ({"prompt": []}, "invalid_value", "prompt"),
        ({"prompt": ""}, "invalid_value", "prompt"),
        ({"prompt": ["a", 1]}, "invalid_type", "prompt"),
        ({"prompt": [1, [2]]}, "invalid_type", "prompt"),
        ({"prompt": [[]]}, "invalid_value", "prompt[0]"),
        ({"prompt": [9999]}, "invalid_value", "prompt"),
        ({"prompt": ["a"] * 129}, "invalid_value", "prompt"),
        ({"prompt": "x" * 3000, "max_tokens": 1}, "context_length_exceeded", "prompt"),
        ({"prompt": "a", "max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"prompt": "a", "max_tokens": 3001}, "invalid_value", "max_tokens"),
        ({"prompt": "a", "logprobs": 6}, "invalid_value", "logprobs"),
        ({"prompt": "a", "logprobs": True}, "invalid_type", "logprobs"),
        ({"prompt": "a", "n": 9}, "invalid_value", "n"),
        ({"prompt": "a", "best_of": 2}, "invalid_value", "best_of"),
        ({"prompt": "a", "best_of": 1, "n": 2}, "invalid_value", "best_of"),
        ({"prompt": "a", "suffix": "b"}, "unknown_parameter", "suffix"),
        ({"prompt": "a", "messages": []}, "unknown_parameter", "messages"),
        ({"prompt": "a", "stream_options": {}}, "invalid_value", "stream_options"),
        ({"prompt": "a", "logit_bias": {"260": 1}}, "invalid_value", "logit_bias.260"),
        ({"prompt": "a", "stop": [""]}, "invalid_value", "stop[0]"),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(
    http: httpx.Client, fields: dict[str, object], code: str, param: str
) -> None:
    response = http.post(COMPLETIONS, json={"model": "tutor", **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)


def test_one_prompt_that_does_not_fit_refuses_all(http: httpx.Client) -> None:
    response = http.post(COMPLETIONS, json={"model": "tutor", "prompt": ["a", "x" * 3000], "max_tokens": 1})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "prompt")


def test_null_is_taken_for_a_field_that_is_left_out(http: httpx.Client) -> None:
    names = (
        "stream stream_options max_tokens echo logprobs stop temperature top_p seed n best_of presence_penalty "
        "frequency_penalty logit_bias top_k min_p repetition_penalty user suffix"
    )
    body = {"model": "tutor", "prompt": "one two", **dict.fromkeys(names.split())}
    assert http.post(COMPLETIONS, json=body).raise_for_status().json()["choices"][0]["text"] == COUNTED[:16]
