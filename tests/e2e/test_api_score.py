"""`POST /admin/score` over a real server and scripted engines."""

import math
import threading
from collections.abc import Generator

import httpx
import msgspec
import pytest

from gateway.contracts.scoring import ScoreView
from gateway.settings import EngineSettings, Settings
from tests.support.served import Served, held_rows, serving

MODEL = """
context_length = 3000
step_delay_s = 0.01

[[answers]]
match = "endless"
text = "{text}"
"""
SLOW_CHUNKS = 100


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    directory = tmp_path_factory.mktemp("models") / "tutor"
    directory.mkdir()
    (directory / "scripted.toml").write_text(MODEL.format(text="x" * 2000))
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")), engine=EngineSettings(max_rows=4, score_chunk_tokens=10)
    )
    with serving(settings, [directory]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


def _score(http: httpx.Client, **body: object) -> ScoreView:
    response = http.post("/admin/score", json=body).raise_for_status()
    return msgspec.json.decode(response.content, type=ScoreView)


def test_tokens_are_scored_from_the_second_on(http: httpx.Client, served: Served) -> None:
    tokens = [*b"abc", 256, *b"d"]
    view = _score(http, model="tutor", tokens=tokens, top_k=3)
    assert view.variant == served.references["tutor"]
    assert view.token_count == len(tokens)
    assert [position.token for position in view.positions] == tokens[1:]
    assert [position.text for position in view.positions] == ["b", "c", "<end>", "d"]
    first = view.positions[0]
    assert first.logprob == pytest.approx(math.log(1 / 2))
    assert [(top.token, round(math.exp(top.logprob), 3)) for top in first.top] == [(98, 0.5), (99, 0.25), (100, 0.125)]
    assert first.tail_mass == pytest.approx(1 / 8)


def test_the_same_score_is_given_twice(http: httpx.Client) -> None:
    assert _score(http, model="tutor", tokens=list(range(100))) == _score(http, model="tutor", tokens=list(range(100)))


def test_of_messages_the_answer_alone_is_scored(http: httpx.Client, served: Served) -> None:
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "héy"}]
    view = _score(http, variant=served.references["tutor"], messages=messages)
    assert bytes(position.token for position in view.positions).decode() == "héy"
    assert view.token_count == len(b"\0hello\0") + len("héy".encode())


def test_messages_without_an_answer_are_scored_whole(http: httpx.Client) -> None:
    view = _score(http, model="tutor", messages=[{"role": "user", "content": "hello"}])
    assert len(view.positions) == view.token_count - 1


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "variant"),
        ({"model": "tutor"}, "missing_required_parameter", "tokens"),
        ({"model": "tutor", "variant": "tutor", "tokens": [1, 2]}, "invalid_value", "model"),
        (
            {"model": "tutor", "tokens": [1, 2], "messages": [{"role": "user", "content": "a"}]},
            "invalid_value",
            "messages",
        ),
        ({"model": "tutor", "tokens": [1]}, "invalid_value", "tokens"),
        ({"model": "tutor", "tokens": [1, -1]}, "invalid_value", "tokens[1]"),
        ({"model": "tutor", "tokens": [1, 9999]}, "invalid_value", "tokens"),
        ({"model": "tutor", "tokens": [1] * 3001}, "context_length_exceeded", "tokens"),
        ({"model": "tutor", "tokens": [1, 2], "top_k": 65}, "invalid_value", "top_k"),
        ({"model": "tutor", "messages": []}, "invalid_value", "messages"),
        ({"model": "tutor", "messages": [{"role": "assistant", "content": "a"}]}, "invalid_value", "messages"),
        (
            {"model": "tutor", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]},
            "invalid_value",
            "messages",
        ),
        ({"model": "tutor", "messages": [{"role": "ghost", "content": "a"}]}, "invalid_value", "messages"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_its_field(
    http: httpx.Client, body: dict[str, object], code: str, param: str
) -> None:
    response = http.post("/admin/score", json=body)
    assert response.status_code == 400
    assert (response.json()["error"]["code"], response.json()["error"]["param"]) == (code, param)


@pytest.mark.parametrize("body", [{"model": "nobody"}, {"variant": "nobody"}])
def test_a_score_of_nobody_is_not_found(http: httpx.Client, body: dict[str, object]) -> None:
    assert http.post("/admin/score", json={**body, "tokens": [1, 2]}).status_code == 404


def test_a_stream_keeps_flowing_while_a_long_text_is_scored(served: Served, http: httpx.Client) -> None:
    scored = threading.Event()

    def score() -> None:
        with httpx.Client(base_url=served.url, timeout=60) as other:
            _score(other, model="tutor", tokens=[1] * 10 * SLOW_CHUNKS)
        scored.set()

    body = {"model": "tutor", "messages": [{"role": "user", "content": "endless"}], "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.iter_lines()
        next(lines)
        thread = threading.Thread(target=score)
        thread.start()
        during = 0
        while not scored.is_set():
            during += next(lines).startswith("data: ")
        thread.join()
    # A chunk a step: as many tokens as chunks, but for a few at both ends.
    assert during > SLOW_CHUNKS / 2


def test_a_score_whose_caller_leaves_is_given_up(served: Served, http: httpx.Client) -> None:
    with httpx.Client(base_url=served.url, timeout=0.3) as impatient, pytest.raises(httpx.ReadTimeout):
        _score(impatient, model="tutor", tokens=[1] * 3000)
    assert held_rows(http, served.references["tutor"]) == 0
    assert _score(http, model="tutor", tokens=[1, 2]).token_count == 2
