"""`POST /tokenize` and `/detokenize` over a real server and scripted engines."""

from collections.abc import Generator

import httpx
import pytest

from gateway.settings import Settings
from tests.support.served import SCRIPTED, Served, serving

USER, ASSISTANT, SYSTEM = 258, 259, 257
HELLO = [{"role": "user", "content": "hé"}]
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), [SCRIPTED / "tutor"]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


@pytest.mark.parametrize("model", [{}, {"model": "tutor"}, {"model": None}])
def test_a_text_is_tokenised_and_back(http: httpx.Client, served: Served, model: dict[str, object]) -> None:
    response = http.post("/tokenize", json={"prompt": "hé", **model}).raise_for_status()
    tokens = list("hé".encode())
    assert response.json() == {"tokens": tokens, "count": 3, "max_model_len": 8192}
    assert response.headers["x-gateway-variant"] == served.references["tutor"]
    assert http.post("/detokenize", json={"tokens": tokens, **model}).raise_for_status().json() == {"prompt": "hé"}


def test_nothing_has_no_tokens_and_no_text(http: httpx.Client) -> None:
    assert http.post("/tokenize", json={"prompt": ""}).raise_for_status().json()["count"] == 0
    assert http.post("/detokenize", json={"tokens": []}).raise_for_status().json() == {"prompt": ""}


def test_messages_are_rendered_as_a_chat_completion_counts_them(http: httpx.Client) -> None:
    view = http.post("/tokenize", json={"messages": HELLO}).raise_for_status().json()
    assert view["tokens"] == [USER, *"hé".encode(), ASSISTANT]
    for extra in ({}, {"tools": [TOOL]}, {"chat_template_kwargs": {"enable_thinking": True}}):
        count = http.post("/tokenize", json={"messages": HELLO, **extra}).raise_for_status().json()["count"]
        chat = {"model": "tutor", "messages": HELLO, "max_tokens": 1, **extra}
        usage = http.post("/v1/chat/completions", json=chat).raise_for_status().json()["usage"]
        assert count == usage["prompt_tokens"]


def test_messages_may_end_with_the_last_of_them(http: httpx.Client) -> None:
    view = http.post("/tokenize", json={"messages": HELLO, "add_generation_prompt": False}).raise_for_status().json()
    assert view["tokens"] == [USER, *"hé".encode()]


def test_tokens_of_structure_are_written_out(http: httpx.Client) -> None:
    body = {"tokens": [USER, *"hé".encode(), 256]}
    assert http.post("/detokenize", json=body).raise_for_status().json() == {"prompt": "<user>hé<end>"}


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/tokenize", {}, "missing_required_parameter", "prompt"),
        ("/tokenize", {"prompt": "a", "messages": HELLO}, "invalid_value", "messages"),
        ("/tokenize", {"prompt": "a", "add_generation_prompt": True}, "invalid_value", "add_generation_prompt"),
        ("/tokenize", {"prompt": "a", "tools": [TOOL]}, "invalid_value", "tools"),
        ("/tokenize", {"messages": []}, "invalid_value", "messages"),
        (
            "/tokenize",
            {"messages": HELLO, "chat_template_kwargs": {"chat_template": "x"}},
            "invalid_value",
            "chat_template_kwargs.chat_template",
        ),
        ("/tokenize", {"prompt": "a", "return_token_strs": True}, "unknown_parameter", "return_token_strs"),
        ("/detokenize", {}, "missing_required_parameter", "tokens"),
        ("/detokenize", {"tokens": [-1]}, "invalid_value", "tokens[0]"),
        ("/detokenize", {"tokens": [9999]}, "invalid_value", "tokens"),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(
    http: httpx.Client, path: str, body: dict[str, object], code: str, param: str
) -> None:
    response = http.post(path, json=body)
    assert response.status_code == 400, response.text
    assert (response.json()["error"]["code"], response.json()["error"]["param"]) == (code, param)


def test_an_unknown_model_is_not_found(http: httpx.Client) -> None:
    assert http.post("/tokenize", json={"prompt": "a", "model": "nobody"}).status_code == 404


def test_where_several_models_are_served_one_must_be_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    models = [SCRIPTED / "tutor", SCRIPTED / "faulty"]
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), models) as served:
        response = httpx.post(f"{served.url}/tokenize", json={"prompt": "a"}, timeout=20)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"
    assert "faulty, tutor" in response.json()["error"]["message"]
