"""`canary report ID --format html` of a real run, opened in a browser."""

import json
import re
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from canary.errors import ExitCode
from canary.report.html import document
from tests.support.browser import PATIENCE_MS, chromium, overflows_on_a_phone, serious_violations, visiting
from tests.support.full_run import full_run
from tests.support.mini_suite import write_mini_suite
from tests.support.programs import RunningGateway, gateway_serving, run
from tests.support.scripted_model import write_scripted_model

HOSTILE = "5 <script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
_OPENED = """() => {
  const many = ["details.case-row", ".flip", ".chart", "tbody tr", ".identity div"];
  for (const one of many) document.querySelectorAll(`${one} ~ ${one} ~ ${one}`).forEach((alike) => alike.remove());
  document.querySelectorAll("details").forEach((details) => (details.open = true));
}"""
"""All that is folded; of what there is many of two of a place, which are as the rest."""
MODELS = {
    "incumbent": 'default_text = "4"\nkv_bytes_per_token = 1000\nweights_bytes = 4_000_000',
    "good": 'default_text = "It is 4."\nkv_bytes_per_token = 1000\nweights_bytes = 3_000_000',
    "hostile": f"default_text = {json.dumps(HOSTILE)}",
}
CONFIGURATION = """
[[deployments]]
model = "tutor"
source = "./incumbent"
"""
PROTOCOL = """
[protocol.latency]
cycles = 3
prompts_per_cycle = 2
output_tokens = 4
[protocol.memory]
context_tokens = 500
repeats = 20
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    home = tmp_path_factory.mktemp("reported")
    for name, script in MODELS.items():
        write_scripted_model(home / name, script)
    with (write_mini_suite(home / "suites") / "suite.toml").open("a") as suite:
        suite.write(PROTOCOL)
    (home / "gateway.toml").write_text(CONFIGURATION)
    with gateway_serving(home, "--config", "gateway.toml") as serving:
        yield serving


@pytest.fixture(scope="module")
def evaluation_id(gateway: RunningGateway) -> str:
    ended = canary(gateway, "evaluate", "./good", "./hostile", "--suite", "mini")
    assert ended.returncode == ExitCode.PASSED, ended.stderr
    found = re.search(r"Evaluation (\S+)", ended.stdout)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as started:
        yield started


def canary(gateway: RunningGateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("canary", *arguments, cwd=gateway.home, environ={"GATEWAY_URL": gateway.url})


def opened(page: Page, file: Path) -> None:
    """Open the file and wait until every picture is drawn."""
    page.goto(file.as_uri())
    expect(page.locator(".plot:not(:has(svg))")).to_have_count(0, timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run that has all that a report can show."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(document(full_run()))
    return path


def test_the_command_writes_a_page_whose_hostile_answers_run_nothing(
    gateway: RunningGateway, evaluation_id: str, browser: Browser
) -> None:
    ended = canary(gateway, "report", evaluation_id, "--format", "html", "--out", "report.html")
    assert (ended.returncode, ended.stdout) == (ExitCode.PASSED, ""), ended.stderr
    with visiting(browser, gateway.home.as_uri()) as page:
        opened(page, gateway.home / "report.html")
        assert page.title() == "tutor: Promote good"
        assert page.get_by_role("heading", level=1).inner_text() == "Promote good"
        assert page.locator("img").count() == 0
        assert HOSTILE in page.locator("#flips .answer pre").nth(1).inner_text()


def test_pictures_have_marks_for_what_was_measured(browser: Browser, file: Path) -> None:
    with visiting(browser, file.parent.as_uri()) as page:
        opened(page, file)
        forest = page.locator('[data-chart="forest"]').first
        assert forest.locator("svg circle").count() == 5
        assert page.locator('[data-chart="times"] svg').count() == 6
        assert page.locator('[data-chart="lines"] svg path').count() > 6


def test_nothing_keeps_anybody_from_reading_it_and_a_phone_scrolls_down_only(browser: Browser, file: Path) -> None:
    with visiting(browser, file.parent.as_uri()) as page:
        opened(page, file)
        page.evaluate(_OPENED)
        assert serious_violations(page) == []
        assert not overflows_on_a_phone(page)
        widths = page.locator(".plot svg").evaluate_all("drawn => drawn.map(svg => svg.getBoundingClientRect().width)")
        assert max(widths) <= 390


def test_cases_are_found_by_text_and_by_what_became_of_them(browser: Browser, file: Path) -> None:
    with visiting(browser, file.parent.as_uri()) as page:
        opened(page, file)
        rows = page.locator("details.case-row:visible")
        assert rows.count() == 160
        page.get_by_label("Search").fill("country 52?")
        assert rows.locator("code").all_text_contents() == ["facts-052"]
        page.get_by_label("Search").fill("")
        page.get_by_label("Show").select_option("candidate better")
        assert rows.locator("summary code").all_text_contents() == ["sums-041", "fields-130"]
        assert page.get_by_role("status").inner_text() == "2 of 160"


def test_the_keyboard_reaches_a_case_and_opens_it(browser: Browser, file: Path) -> None:
    with visiting(browser, file.parent.as_uri()) as page:
        opened(page, file)
        page.get_by_label("Show").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.locator("details.case-row[open] summary code").all_text_contents() == ["facts-000"]
