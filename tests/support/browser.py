"""Pages in headless Chromium, which must say nothing on their console and ask nobody but the gateway.

Playwright's synchronous interface keeps a loop of its own on the thread while it is open, so a browser is a module's,
and such a module has no asynchronous tests.
"""

from collections.abc import Generator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe  # pyright: ignore[reportMissingTypeStubs] - it has none
from playwright.sync_api import Browser, BrowserContext, Page, Request, ViewportSize, expect, sync_playwright

from tests.conftest import require_program

PATIENCE_MS = 30_000
"""Long enough for a machine that does a great deal else."""
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 900}
_SERIOUS = frozenset({"serious", "critical"})


@contextmanager
def chromium() -> Generator[Browser]:
    """Run a browser; skip the test where there is none, as `require_program` does."""
    path = require_program("chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(
    browser: Browser,
    url: str,
    *,
    expected: tuple[str, ...] = (),
) -> Generator[Page]:
    """Open a page of a browser that knows nothing yet; at the end nothing may have gone wrong on it.

    `expected` are parts of what it may say on its console: Chromium reports each answer of 400 and above there.
    """
    context = browser.new_context(base_url=url, color_scheme="light", reduced_motion="reduce", viewport=DESK)
    complaints = _watch(context, url, expected)
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page
        assert complaints == []
    finally:
        context.close()


def serious_violations(page: Page, part: str | None = None) -> list[str]:
    """Return what axe finds that keeps somebody from using the page, or a part of it; in dark, from reading it."""
    found = _violations(page, part)
    page.emulate_media(color_scheme="dark")
    found += _violations(page, part, {"runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")
    return found


def overflows_on_a_phone(page: Page) -> bool:
    """Say whether the page itself scrolls sideways where it is as narrow as a phone."""
    page.set_viewport_size(PHONE)
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def _violations(page: Page, part: str | None, options: dict[str, object] | None = None) -> list[str]:
    found = Axe().run(page, context=part, options=options).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for violation in found
        if violation["impact"] in _SERIOUS
        for node in violation["nodes"]
    ]


def _watch(context: BrowserContext, url: str, expected: tuple[str, ...]) -> list[str]:
    complaints: list[str] = []

    def complain(text: str) -> None:
        if not any(part in text for part in expected):
            complaints.append(text)

    def check(request: Request) -> None:
        if not request.url.startswith((f"{url}/", "data:", "blob:")):
            complain(f"asked {request.url}")

    context.on("request", check)
    context.on("console", lambda message: complain(message.text) if message.type in {"error", "warning"} else None)
    context.on("weberror", lambda error: complain(str(error.error)))
    return complaints
