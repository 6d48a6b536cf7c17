"""Who can be asked in the playground, what loading them takes, and that a session is enough to ask."""

import re
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.settings import MemorySettings, Settings
from tests.support.browser import chromium, serious_violations, visiting
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, key_of_each_role, serving

GIB = 1024**3
REFUSED = ("the server responded with a status of",)
"""What Chromium says of an answer of 400 and above."""


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    home = tmp_path_factory.mktemp("playground")
    memory = MemorySettings(recommended_working_set_bytes=16 * GIB, reserve_bytes=GIB)
    model = write_scripted_model(home / "serves", f"weights_bytes = {GIB}\ndefault_text = 'The incumbent.'")
    with serving(Settings(state_dir=str(home), memory=memory), [model]) as served:
        yield served


def _register(served: Served, directory: Path, script: str) -> str:
    """Return the reference of a variant that is not loaded."""
    source = str(write_scripted_model(directory, script))
    answer = httpx.post(f"{served.url}/admin/variants", json={"source": source})
    return answer.raise_for_status().json()["reference"]


def _candidate(page: Page) -> Locator:
    return page.get_by_role("region", name="Candidate")


def _choose(page: Page, reference: str) -> Locator:
    page.goto("/playground")
    page.get_by_label("Candidate", exact=True).select_option(reference)
    expect(_candidate(page)).to_contain_text(reference)
    return _candidate(page)


def _ask(page: Page, question: str) -> None:
    page.get_by_label("Message").fill(question)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status").filter(has_text="Incumbent:")).to_be_visible()


def test_a_candidate_that_is_not_loaded_says_what_it_takes_and_is_loaded_by_a_click(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    reference = _register(served, tmp_path / "spare", f"weights_bytes = {2 * GIB}")
    with visiting(browser, served.url) as page:
        candidate = _choose(page, reference)
        group = page.locator("optgroup", has_text=reference)
        assert group.get_attribute("label") == "Not loaded"
        expect(candidate).to_contain_text("not loaded")
        expect(candidate).to_contain_text(re.compile(r"It would take 2\.02 GiB of the 13\.\d\d GiB that are left\."))
        assert serious_violations(page) == []
        candidate.get_by_role("button", name="Load it now").press("Enter")
        expect(candidate.locator(".state")).to_have_text("loaded")
        expect(page.locator("#status")).to_contain_text("Candidate: loaded")
        expect(page.get_by_label("Message")).to_be_focused()
        page.reload()
        assert page.locator("optgroup", has_text=reference).get_attribute("label") == "Loaded"
        expect(page.get_by_label("Candidate", exact=True)).to_have_value(reference)


def test_the_first_message_loads_a_candidate_too(browser: Browser, served: Served, tmp_path: Path) -> None:
    reference = _register(served, tmp_path / "on-demand", "default_text = 'Loaded for this.'")
    with visiting(browser, served.url) as page:
        candidate = _choose(page, reference)
        _ask(page, "Hello")
        expect(candidate.locator('[data-part="answer"]')).to_have_text("Loaded for this.")
        expect(candidate.locator(".state")).to_have_text("loaded")
        expect(candidate.get_by_role("button")).to_have_count(0)


def test_what_does_not_fit_is_refused_with_the_arithmetic_while_the_incumbent_answers(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    reference = _register(served, tmp_path / "vast", f"weights_bytes = {500 * GIB}")
    with visiting(browser, served.url, expected=REFUSED) as page:
        candidate = _choose(page, reference)
        expect(candidate).to_contain_text("cannot serve")
        expect(candidate).to_contain_text("over the limit of 16.00 GiB")
        expect(candidate.get_by_role("button")).to_have_count(0)
        _ask(page, "Hello")
        expect(candidate.locator('[data-part="problem"]')).to_contain_text("HTTP 503 · memory_pressure")
        expect(page.locator('[data-part="answer"]').first).to_have_text("The incumbent.")


def test_a_load_that_fails_says_why(browser: Browser, served: Served, tmp_path: Path) -> None:
    reference = _register(served, tmp_path / "torn", "load_failure = 'The weights are torn.'")
    with visiting(browser, served.url, expected=REFUSED) as page:
        candidate = _choose(page, reference)
        candidate.get_by_role("button", name="Load it now").click()
        expect(candidate).to_contain_text("The weights are torn.")
        expect(candidate).to_contain_text("cannot serve")


def test_a_session_is_enough_to_ask_until_its_key_is_gone(browser: Browser, tmp_path: Path) -> None:
    keys = key_of_each_role()
    models = [write_scripted_model(tmp_path / name, f"default_text = 'I am {name}.'") for name in ("old", "new")]
    settings = Settings(state_dir=str(tmp_path))
    with serving(settings, models, keys=keys) as served, visiting(browser, served.url, expected=REFUSED) as page:
        page.goto("/playground")
        page.get_by_label("API key").fill("secret-evaluation")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/playground**")
        _ask(page, "Who are you?")
        expect(page.locator('[data-part="answer"]')).to_have_text(["I am old.", "I am new."])
        keys.remove("evaluation")
        _ask(page, "And now?")
        expect(_candidate(page)).to_contain_text("Your session has ended. Load the page again to sign in.")
