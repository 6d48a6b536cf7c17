"""Log-likelihoods through `/v1/completions` and `/tokenize`, as evaluation harnesses ask for them, on a real model."""

from collections.abc import Generator

import httpx
import openai
import pytest

from gateway.settings import EngineSettings, Settings
from tests.support.models import embedded_model
from tests.support.served import Served, serving

pytestmark = pytest.mark.model

MODEL = "float16"
CONTEXT = "The capital of France is"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")), engine=EngineSettings(score_chunk_tokens=4, max_rows=2)
    )
    with serving(settings, [embedded_model()]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as http:
        yield http


def _tokens(http: httpx.Client, **fields: object) -> list[int]:
    return http.post("/tokenize", json={"model": MODEL, **fields}).raise_for_status().json()["tokens"]


def test_a_continuation_is_as_likely_as_admin_score_says(served: Served, http: httpx.Client) -> None:
    context, right, wrong = (_tokens(http, prompt=CONTEXT + end) for end in ("", " Paris.", " London."))
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        # As lm-evaluation-harness asks: a batch of token arrays, one token behind each, whose entry it cuts off.
        completion = client.completions.create(
            model=MODEL, prompt=[right, wrong], echo=True, max_tokens=1, logprobs=1, temperature=0, seed=1
        )
    likelihoods: list[float] = []
    for tokens, choice in zip((right, wrong), completion.choices, strict=True):
        scored = http.post("/admin/score", json={"model": MODEL, "tokens": tokens, "top_k": 1}).raise_for_status()
        positions = scored.json()["positions"]
        assert choice.logprobs is not None
        assert choice.logprobs.token_logprobs is not None
        assert choice.logprobs.token_logprobs[1:-1] == [position["logprob"] for position in positions]
        assert choice.logprobs.top_logprobs is not None
        likeliest = [max(top.values()) for top in choice.logprobs.top_logprobs[1:-1]]
        assert likeliest == [position["top"][0][1] for position in positions]
        assert "".join(choice.logprobs.tokens or ()) == choice.text
        likelihoods.append(sum(choice.logprobs.token_logprobs[len(context) : -1]))
    assert likelihoods[0] > likelihoods[1]


def test_a_text_and_its_tokens_are_continued_alike_and_without_a_template(http: httpx.Client) -> None:
    asked = {"model": MODEL, "max_tokens": 4, "temperature": 0}
    texts = [
        http.post("/v1/completions", json={**asked, "prompt": prompt}).raise_for_status().json()["choices"][0]["text"]
        for prompt in (CONTEXT, _tokens(http, prompt=CONTEXT))
    ]
    assert texts[0] == texts[1]
    assert texts[0].startswith(" ")  # else the continuation would run into the last word
    echoed = http.post("/v1/completions", json={**asked, "prompt": CONTEXT, "echo": True}).raise_for_status().json()
    assert echoed["choices"][0]["text"] == CONTEXT + texts[0]


def test_a_chat_has_as_many_tokens_as_its_completion_counts(http: httpx.Client) -> None:
    tokens = _tokens(http, messages=MESSAGES)
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 1}
    usage = http.post("/v1/chat/completions", json=body).raise_for_status().json()["usage"]
    assert len(tokens) == usage["prompt_tokens"]
    open_end = _tokens(http, messages=MESSAGES, add_generation_prompt=False)
    assert tokens[: len(open_end)] == open_end
    assert len(open_end) < len(tokens)


def test_a_chat_is_detokenised_with_its_structure(http: httpx.Client) -> None:
    tokens = _tokens(http, messages=MESSAGES)
    text = http.post("/detokenize", json={"model": MODEL, "tokens": tokens}).raise_for_status().json()["prompt"]
    assert text.endswith("<|im_start|>assistant\n")
    assert MESSAGES[0]["content"] in text
    assert _tokens(http, prompt=text) == tokens
