"""Who has a request's id finds on the console what became of it; nothing there says what was asked or answered."""

from collections.abc import Generator

import httpx
import pytest
from playwright.sync_api import expect

from gateway.settings import Settings
from tests.support.browser import chromium, overflows_on_a_phone, serious_violations, visiting
from tests.support.programs import wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving

CHAT = "/v1/chat/completions"
SCRIPT = """
default_text = "All is well."
faults = [{match = "LATE", kind = "raise", at_token = 3}]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    home = tmp_path_factory.mktemp("requests")
    with serving(Settings(state_dir=str(home)), [write_scripted_model(home / "tutor", SCRIPT)]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


def _ask(http: httpx.Client, request_id: str, text: str, *, model: str = "tutor", stream: bool = False) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    http.post(CHAT, json=body, headers={"x-request-id": request_id})


def _page(http: httpx.Client, find: str, *, failed: bool = False) -> str:
    """Return the page, as soon as it shows the request: a client has its answer a moment before that is recorded."""
    pages: list[str] = []

    def shows() -> bool:
        pages.append(http.get("/requests", params={"find": find, "failed": failed}).raise_for_status().text)
        return "<table" in pages[-1]

    wait_until(shows)
    return pages[-1]


def test_an_answer_is_found_by_its_id(http: httpx.Client, served: Served) -> None:
    _ask(http, "answered-1", "Hello")
    page = _page(http, "answered-1")
    assert "1 request " in page
    for fact in ("answered-1", "chatcmpl-", "200", "stop", "POST /v1/chat/completions", served.references["tutor"]):
        assert fact in page
    assert "13 out" in page


def test_an_error_is_found_by_the_id_that_the_client_was_told(http: httpx.Client) -> None:
    _ask(http, "refused-1", "Hello", model="unheard-of")
    page = _page(http, "refused-1")
    assert "404" in page
    assert "model_not_found" in page
    assert "unheard-of" not in page


def test_a_stream_that_broke_off_is_among_those_that_failed(http: httpx.Client) -> None:
    _ask(http, "broken-1", "LATE", stream=True)
    _ask(http, "whole-1", "Hello", stream=True)
    page = _page(http, "broken-1", failed=True)
    assert "engine_fault" in page
    assert "streamed" in page
    _page(http, "whole-1")
    assert "<table" not in http.get("/requests", params={"find": "whole-1", "failed": True}).text


def test_an_id_that_is_not_there_is_told_where_to_look(http: httpx.Client) -> None:
    page = http.get("/requests", params={"find": "never-seen"}).text
    assert "<table" not in page
    assert "The log remembers longer" in page


def test_nothing_says_what_was_asked_or_answered(http: httpx.Client) -> None:
    _ask(http, "private-1", "xyzzy")
    page = _page(http, "private-1")
    assert "xyzzy" not in page
    assert "All is well" not in page


def test_an_id_is_text_whatever_it_holds(http: httpx.Client) -> None:
    hostile = "<script>alert(1)</script>'\""
    _ask(http, hostile, "Hello")
    page = _page(http, hostile)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_pages_of_the_console_and_what_succeeded_beside_answers_are_not_kept(http: httpx.Client) -> None:
    headers = {"x-request-id": "looked-1"}
    for path in ("/playground", "/requests", "/v1/models", "/health"):
        http.get(path, headers=headers).raise_for_status()
    _ask(http, "looked-2", "Hello")
    assert "looked-1" not in _page(http, "looked-2").split("<table")[-1]
    assert "<table" not in http.get("/requests", params={"find": "looked-1"}).text


def test_the_playground_leads_to_it_and_anybody_can_use_it(served: Served) -> None:
    with chromium() as browser, visiting(browser, served.url) as page:
        page.goto("/playground")
        page.get_by_label("Message").fill("Hello")
        page.get_by_role("button", name="Send").click()
        expect(page.locator('[data-part="finish"]')).to_have_text("stop")
        link = page.locator('[data-part="request"] a')
        request_id = link.text_content()
        link.click()
        expect(page.get_by_label("Request or completion id")).to_have_value(request_id or "")
        expect(page.get_by_role("row")).to_have_count(2)
        assert serious_violations(page) == []
        assert not overflows_on_a_phone(page)
