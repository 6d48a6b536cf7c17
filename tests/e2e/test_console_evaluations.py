"""The console's pages of what was judged: the list, a report with its pictures, and the history."""

from collections.abc import Generator, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from canary.judge import judge
from gateway.contracts.admin import VariantView
from gateway.contracts.evaluations import Evaluation, System
from gateway.contracts.variants import Variant
from gateway.settings import Settings
from tests.support.browser import PATIENCE_MS, chromium, overflows_on_a_phone, serious_violations, visiting
from tests.support.fleets import PATIENCE_S
from tests.support.full_run import full_run
from tests.support.judged_runs import judged, with_answers
from tests.support.scripted_model import write_scripted_model
from tests.support.served import SCRIPTED, Served, serving

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
PAGES = ("/evaluations", "/evaluations/20261128-120000-bbbbbb", "/history")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    settings = Settings(state_dir=str(tmp_path_factory.mktemp("judged")))
    with serving(settings, [SCRIPTED / "tutor", SCRIPTED / "faulty"]) as gateway:
        variants = registered(gateway, tmp_path_factory.mktemp("models"))
        for evaluation in (small("20261127-090000-aaaaaa", "faulty"), full_run(), compared()):
            record(gateway, evaluation, variants)
        yield gateway


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as started:
        yield started


def small(evaluation_id: str, model: str) -> Evaluation:
    evaluation = with_answers(judged({"old": [1.0] * 12, "new": [0.0] * 12}), HOSTILE)
    return msgspec.structs.replace(evaluation, id=evaluation_id, model=model, created_at="2026-11-27T09:00:00+00:00")


def compared() -> Evaluation:
    evaluation = msgspec.structs.replace(
        judged({"one": [1.0] * 12, "two": [1.0] * 12}),
        id="20261128-120000-bbbbbb",
        created_at="2026-11-28T12:00:00+00:00",
        compared_while="f" * 64,
    )
    return msgspec.structs.replace(evaluation, judgements=judge(evaluation))


def registered(served: Served, home: Path) -> list[Variant]:
    """Register a model of each name that `full_run` has: what is not registered cannot be recorded."""
    made = [
        write_scripted_model(home / system.variant.name, f'default_text = "{system.variant.name}"')
        for system in full_run().systems
    ]
    answers = [
        httpx.post(f"{served.url}/admin/variants", json={"source": str(path)}, timeout=PATIENCE_S) for path in made
    ]
    return [msgspec.json.decode(answer.raise_for_status().content, type=VariantView).variant for answer in answers]


def record(served: Served, evaluation: Evaluation, variants: Sequence[Variant]) -> None:
    """Record the run as one of these variants, in the order of its systems."""
    text = msgspec.json.encode(evaluation).decode()
    systems: list[System] = []
    for system, variant in zip(evaluation.systems, variants, strict=False):
        text = text.replace(system.variant.digest, variant.digest)
        systems.append(msgspec.structs.replace(system, variant=variant))
    named = msgspec.structs.replace(msgspec.json.decode(text, type=Evaluation), systems=tuple(systems))
    content = msgspec.json.encode(named)
    httpx.post(f"{served.url}/admin/evaluations", content=content, timeout=PATIENCE_S).raise_for_status()


def opened(page: Page, path: str) -> None:
    """Open a page and wait until every picture is drawn."""
    page.goto(path)
    expect(page.locator(".plot:not(:has(svg))")).to_have_count(0, timeout=PATIENCE_MS)


def test_the_list_shows_each_candidate_with_its_outcome_and_difference(served: Served, browser: Browser) -> None:
    with visiting(browser, served.url) as page:
        opened(page, "/evaluations")
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(4)
        passed = rows.filter(has_text="tutor-30b-5bit").filter(has_text="+0.6")
        expect(passed).to_contain_text("passed")
        expect(passed).to_contain_text("+0.6 points -2.3 to +3.9")
        expect(passed.locator("svg circle")).to_have_count(1)


def test_the_list_can_be_of_one_model(served: Served, browser: Browser) -> None:
    with visiting(browser, served.url) as page:
        opened(page, "/evaluations")
        page.get_by_role("navigation", name="Models").get_by_role("link", name="faulty").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("-100.0 points")


def test_an_evaluation_is_opened_from_the_list_and_offers_to_promote_what_passed(
    served: Served, browser: Browser
) -> None:
    with visiting(browser, served.url) as page:
        opened(page, "/evaluations?model=tutor")
        page.locator("tbody tr").filter(has_text="tutor-30b-5bit").filter(has_text="+0.6").get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Promote 5bit")
        expect(page.locator(".promotable button")).to_have_count(1)
        expect(page.locator('[data-chart="forest"] svg')).to_have_count(4)


def test_a_comparison_offers_nothing_to_promote(served: Served, browser: Browser) -> None:
    with visiting(browser, served.url) as page:
        opened(page, "/evaluations/20261128-120000-bbbbbb")
        expect(page.get_by_role("heading", level=1)).to_have_text("Compared with 8bit")
        expect(page.locator(".promotable")).to_have_count(0)


def test_what_a_model_said_is_text_on_the_page(served: Served, browser: Browser) -> None:
    with visiting(browser, served.url) as page:
        opened(page, "/evaluations/20261127-090000-aaaaaa")
        assert page.title().startswith("Evaluation of faulty")
        assert page.locator(".report img").count() == 0
        assert HOSTILE in page.locator("#flips pre").first.inner_text()


def test_an_evaluation_that_is_not_recorded_is_a_readable_404(served: Served) -> None:
    answer = httpx.get(f"{served.url}/evaluations/nothing", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "no evaluation" in answer.text


def test_the_history_shows_what_served_and_how_accurate_candidates_were(served: Served, browser: Browser) -> None:
    with visiting(browser, served.url) as page:
        opened(page, "/history")
        tutor = page.get_by_role("region", name="tutor", exact=True)
        expect(tutor.locator("tbody tr").first).to_contain_text("bootstrap")
        expect(tutor.locator('[data-chart="history"] svg circle')).to_have_count(3)


def test_nothing_judged_yet_teaches_the_command(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("empty"))), [SCRIPTED / "tutor"]) as served:
        page = httpx.get(f"{served.url}/evaluations", headers={"accept": "text/html"}).raise_for_status().text
    # Without a suite: a named one is run whole, and the gate may ask for a tag of it.
    assert "canary evaluate ./my-model-5bit</code>" in page


@pytest.mark.parametrize("path", PAGES)
def test_nothing_keeps_anybody_from_reading_it_and_a_phone_scrolls_down_only(
    served: Served, browser: Browser, path: str
) -> None:
    with visiting(browser, served.url) as page:
        opened(page, path)
        assert serious_violations(page) == []
        assert not overflows_on_a_phone(page)
