"""The playground in a real browser: one question to two variants of a real gateway, side by side."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import structlog
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.settings import Settings
from tests.support.browser import chromium, overflows_on_a_phone, serious_violations, visiting
from tests.support.programs import wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, held_rows, serving

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\"> **bold** "
    "\u001b[31mred\u001b[0m \u202eevil\u202c \u05e9\u05dc\u05d5\u05dd </div></template>"
)
SHARED = f"""
step_delay_s = 0.002
context_length = 600
answers = [
    {{match = "slowly", text = "This answer takes its time, so that somebody can lose patience.", step_delay_s = 0.05}},
    {{match = "hostile", text = {json.dumps(HOSTILE)}}},
    {{match = "ponder", text = "First I weigh it.</think>Then I say it."}},
    {{match = "weather", text = '<tool_call>{{"name": "weather", "arguments": {{"city": "Lyon"}}}}</tool_call>'}},
    {{match = "^And now", text = "That was the second turn."}},
]
faults = [{{match = "falter", kind = "raise", at_token = 3}}]
"""
INCUMBENT = 'default_text = "The capital is Paris, which lies on the Seine."' + SHARED
CANDIDATE = 'default_text = "The capital is Lyon, which lies on the Rhône."' + SHARED
TOOLS = json.dumps([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}])
REFUSED = ("the server responded with a status of 4",)
"""What Chromium says of an answer of 400 and above."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """Serve two models; each is the other's candidate."""
    models = tmp_path_factory.mktemp("models")
    directories = [
        write_scripted_model(models / "capitals", INCUMBENT),
        write_scripted_model(models / "capitals-4bit", CANDIDATE),
    ]
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("state"))), directories) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def _playground(browser: Browser, served: Served, query: str = "", **how: Any) -> Generator[Page]:
    with visiting(browser, served.url, **how) as page:
        page.goto(f"/playground{query}")
        yield page


def _pane(page: Page, role: str) -> Locator:
    return page.get_by_role("region", name=re.compile(role))


def _answers(page: Page) -> Locator:
    return page.locator('[data-part="answer"]')


def _ask(page: Page, question: str) -> None:
    page.get_by_label("Message").fill(question)
    page.get_by_role("button", name="Send").click()


def _ended(page: Page, *words: str) -> None:
    for word in words:
        expect(page.get_by_role("status").filter(has_text=word)).to_be_visible()


def test_both_variants_answer_side_by_side_with_their_figures(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        _ask(page, "What is the capital?")
        _ended(page, "Incumbent: ended (stop)", "Candidate: ended (stop)")
        for role, reference, city in (("Incumbent", "capitals", "Paris"), ("Candidate", "capitals-4bit", "Lyon")):
            pane = _pane(page, role)
            expect(pane).to_contain_text(served.references[reference])
            expect(pane.locator('[data-part="answer"]')).to_contain_text(f"The capital is {city}")
            figures = pane.locator(".figures")
            expect(figures).to_contain_text(re.compile(r"First token\s*\d+ ms"))
            expect(figures).to_contain_text(re.compile(r"Answer tokens\s*4\d"))
            expect(figures).to_contain_text(re.compile(r"Prompt tokens\s*\d+, \d+ of them cached"))
            expect(figures).to_contain_text(re.compile(r"Ended by\s*stop"))


def test_the_words_in_which_the_answers_differ_are_marked(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        _ask(page, "What is the capital?")
        expect(page.locator("mark")).to_have_text(["Paris", "Seine", "Lyon", "Rhône"])
        expect(page.locator("#difference")).to_contain_text(
            "Words in common: 9. Only the incumbent's: 2. Only the candidate's: 2."
        )
        page.get_by_label("Mark them").uncheck()
        expect(page.locator("mark")).to_have_count(0)
        expect(_answers(page).first).to_have_text("The capital is Paris, which lies on the Seine.")


def test_stop_cancels_both_in_the_gateway(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page, structlog.testing.capture_logs() as logs:
        _ask(page, "Answer slowly")
        expect(_answers(page)).to_contain_text(["This", "This"])
        page.get_by_role("button", name="Stop").click()
        _ended(page, "Incumbent: stopped.", "Candidate: stopped.")
        finished = [log for log in logs if log["event"] == "request_finished"]
        wait_until(lambda: sum(log.get("code") == "client_disconnected" for log in logs) == 2)
        assert all(log["completion_tokens"] < 60 for log in finished if "completion_tokens" in log)
    with httpx.Client(base_url=served.url) as http:
        for reference in served.references.values():
            wait_until(lambda reference=reference: held_rows(http, reference) == 0)


def test_a_refusal_is_shown_with_what_to_do_and_the_question_comes_back(browser: Browser, served: Served) -> None:
    question = "a very long question " * 40
    with _playground(browser, served, expected=REFUSED) as page:
        _ask(page, question)
        _ended(page, "Incumbent: failed.", "Candidate: failed.")
        for role in ("Incumbent", "Candidate"):
            problem = _pane(page, role).locator('[data-part="problem"]')
            expect(problem).to_contain_text("HTTP 400 · context_length_exceeded")
            expect(_pane(page, role).locator('[data-part="request"] a')).to_be_visible()
        expect(page.get_by_label("Message")).to_have_value(question)


def test_a_failure_in_mid_stream_keeps_what_was_said(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        _ask(page, "falter")
        _ended(page, "Incumbent: failed.")
        expect(_answers(page).first).to_have_text("Th")
        expect(_pane(page, "Incumbent").locator('[data-part="problem"]')).to_contain_text("engine_fault")


@pytest.mark.parametrize("query", ["", "?candidate="])
def test_what_a_model_says_is_text_whatever_it_says(browser: Browser, served: Served, query: str) -> None:
    """With a candidate the differing words are marked, alone the text stays as it streamed."""
    shown = HOSTILE.replace("\u001b", "\u241b")
    with _playground(browser, served, query) as page:
        _ask(page, "hostile")
        _ended(page, "Incumbent: ended")
        expect(page.locator('[data-part="finish"]').last).to_have_text("stop")
        for answer in _answers(page).all():
            assert answer.evaluate("answer => answer.textContent") == shown
            assert answer.evaluate("answer => answer.childElementCount") == 0
            assert answer.evaluate("answer => getComputedStyle(answer).unicodeBidi") == "isolate"
        assert page.title() == "Playground · gateway"


def test_a_question_is_text_too(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        _ask(page, "<b>bold</b>")
        expect(page.locator('[data-part="question"]').first).to_have_text("<b>bold</b>")


def test_reasoning_is_folded(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.get_by_text("Settings").click()
        page.get_by_label("enable_thinking").select_option("on")
        _ask(page, "ponder")
        _ended(page, "Incumbent: ended")
        pane = _pane(page, "Incumbent")
        expect(pane.locator('[data-part="answer"]')).to_have_text("Then I say it.")
        reasoning = pane.locator('[data-part="reasoning-text"]')
        expect(reasoning).to_be_hidden()
        pane.get_by_text("Reasoning", exact=True).click()
        expect(reasoning).to_have_text("First I weigh it.")


def test_calls_are_shown_as_json_and_go_on_with_the_conversation(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.get_by_text("Settings").click()
        page.get_by_label("Tools, as JSON").fill(TOOLS)
        _ask(page, "weather")
        _ended(page, "Incumbent: ended (tool_calls)")
        calls = _pane(page, "Incumbent").locator('[data-part="calls"]')
        assert json.loads(calls.text_content() or "") == [{"name": "weather", "arguments": {"city": "Lyon"}}]
        _ask(page, "And now?")
        _ended(page, "Incumbent: ended (stop)")


def test_tools_that_are_no_json_are_not_sent(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.get_by_text("Settings").click()
        page.get_by_label("Tools, as JSON").fill("[{")
        page.get_by_text("Settings").click()
        _ask(page, "weather")
        field = page.get_by_label("Tools, as JSON")
        expect(field).to_be_visible()
        assert "JSON" in field.evaluate("field => field.validationMessage")
        expect(page.locator(".turn")).to_have_count(0)


def test_settings_and_the_conversation_are_sent_and_each_pane_keeps_its_own(browser: Browser, served: Served) -> None:
    sent: list[dict[str, Any]] = []
    with _playground(browser, served) as page:
        page.on("request", lambda asked: sent.append(asked.post_data_json or {}) if asked.method == "POST" else None)
        page.get_by_text("Settings").click()
        for label, value in (("System prompt", "Be brief."), ("Temperature", "0.5"), ("Top p", "0.9"), ("Seed", "7")):
            page.get_by_label(label).fill(value)
        page.get_by_label("Tokens at most").fill("14")
        _ask(page, "What is the capital?")
        _ended(page, "Incumbent: ended (length)", "Candidate: ended (length)")
        _ask(page, "And now?")
        expect(page.locator(".turn")).to_have_count(4)
        _ended(page, "Incumbent: ended (length)", "Candidate: ended (length)")
    assert len(sent) == 4
    for body in sent:
        settings = (body["temperature"], body["top_p"], body["seed"], body["max_completion_tokens"])
        assert settings == (0.5, 0.9, 7, 14)
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert "chat_template_kwargs" not in body
    told = [[message["content"] for message in body["messages"][1:]] for body in sent[2:]]
    assert told == [["What is the capital?", "The capital is", "And now?"]] * 2


def test_answers_are_not_drawn_unless_that_is_asked_for(browser: Browser, served: Served) -> None:
    sent: list[dict[str, Any]] = []
    with _playground(browser, served) as page:
        page.on("request", lambda asked: sent.append(asked.post_data_json or {}) if asked.method == "POST" else None)
        _ask(page, "What is the capital?")
        _ended(page, "Incumbent: ended", "Candidate: ended")
        page.get_by_text("Settings").click()
        page.get_by_label("Temperature").fill("")
        _ask(page, "And now?")
        expect(page.locator(".turn")).to_have_count(4)
        _ended(page, "Incumbent: ended", "Candidate: ended")
    assert [body.get("temperature") for body in sent] == [0, 0, None, None]


def test_a_new_conversation_forgets_the_old_one(browser: Browser, served: Served) -> None:
    sent: list[dict[str, Any]] = []
    with _playground(browser, served) as page:
        page.on("request", lambda asked: sent.append(asked.post_data_json or {}) if asked.method == "POST" else None)
        _ask(page, "Answer slowly")
        expect(_answers(page)).to_contain_text(["This", "This"])
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator(".turn")).to_have_count(0)
        _ask(page, "What is the capital?")
        _ended(page, "Incumbent: ended", "Candidate: ended")
    assert [len(body["messages"]) for body in sent] == [1, 1, 1, 1]


def test_everything_goes_by_the_keyboard(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.get_by_label("Message").focus()
        page.keyboard.type("Answer slowly")
        page.keyboard.press("Control+Enter")
        expect(_answers(page)).to_contain_text(["This", "This"])
        page.keyboard.press("Escape")
        _ended(page, "Incumbent: stopped.", "Candidate: stopped.")
        expect(page.get_by_label("Message")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Send")).to_be_focused()
        page.get_by_label("Message").fill("What is the capital?")
        page.get_by_role("button", name="Send").press("Enter")
        _ended(page, "Incumbent: ended", "Candidate: ended")
        expect(page.get_by_role("button", name="Send")).to_be_focused()


def test_the_incumbent_can_be_asked_alone(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.get_by_label("Candidate", exact=True).select_option("")
        expect(page.locator("[data-pane]")).to_have_count(1)
        _ask(page, "What is the capital?")
        _ended(page, "Incumbent: ended (stop)")
        expect(page.locator("#difference")).to_be_hidden()


def test_another_model_has_another_incumbent_and_its_address(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.get_by_label("Message").fill("kept while choosing")
        page.get_by_label("Model").select_option("capitals-4bit")
        expect(_pane(page, "Incumbent")).to_contain_text(served.references["capitals-4bit"])
        expect(page.get_by_label("Message")).to_have_value("kept while choosing")
        assert "model=capitals-4bit" in page.url


def test_what_gets_ready_is_looked_at_until_it_is(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.evaluate("document.querySelector('.engine').dataset.presence = 'coming'")
        page.evaluate("document.querySelector('.engine').textContent = 'not so'")
        expect(page.locator(".engine .state")).to_have_text(["loaded", "loaded"])


def test_nothing_keeps_anybody_from_using_it(browser: Browser, served: Served) -> None:
    with _playground(browser, served) as page:
        page.get_by_text("Settings").click()
        _ask(page, "What is the capital?")
        _ended(page, "Incumbent: ended", "Candidate: ended")
        assert serious_violations(page) == []
        assert not overflows_on_a_phone(page)
