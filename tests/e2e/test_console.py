"""The console in a browser: what it shows moves, what it asks to be confirmed happens, and everybody can use it."""

from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from gateway.settings import Settings
from tests.support.browser import chromium, overflows_on_a_phone, serious_violations, visiting
from tests.support.judged_home import write_judged_home
from tests.support.programs import RunningGateway, gateway_serving, run
from tests.support.served import SCRIPTED, Served, key_of_each_role, serving

MODELS = {
    "incumbent": """
        default_text = "4"
        weights_bytes = 4_000_000
        [[answers]]
        match = "slowly"
        text = "This answer takes its time, so that somebody can see it being made."
        step_delay_s = 0.1
    """,
    "good": 'default_text = "It is 4."\nweights_bytes = 3_000_000',
}


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    """A gateway that has recorded a candidate that passed, and not promoted it."""
    home = write_judged_home(tmp_path_factory.mktemp("console"), MODELS)
    with gateway_serving(home, "--config", "gateway.toml") as gateway:
        told = run("canary", "evaluate", "./good", "--suite", "mini", cwd=home, environ={"GATEWAY_URL": gateway.url})
        assert told.returncode == 0, told.stdout + told.stderr
        yield gateway


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("plain"))), [SCRIPTED / "tutor"]) as served:
        yield served


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(
        Settings(state_dir=str(tmp_path_factory.mktemp("keyed"))), [SCRIPTED / "tutor"], keys=key_of_each_role()
    ) as served:
        yield served


def incumbent_of(gateway: RunningGateway) -> str:
    return gateway.get("/admin/status").json()["deployments"][0]["incumbent"]


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def test_the_overview_shows_what_serves_and_moves_under_load(browser: Browser, judged: RunningGateway) -> None:
    body = {"model": "tutor", "messages": [{"role": "user", "content": "slowly"}]}
    with visiting(browser, judged.url) as page, ThreadPoolExecutor() as pool:
        page.goto("/")
        expect(page.get_by_role("heading", name="tutor", exact=True)).to_be_visible()
        expect(page.locator("#tokens-per-s")).to_have_text("0")
        expect(page.locator("figure[data-chart] svg")).to_have_count(4)
        asked = pool.submit(lambda: [ask(judged, body) for _ in range(3)])
        expect(page.locator("#tokens-per-s")).not_to_have_text("0")
        assert [status for status in asked.result() if status != 200] == []
        expect(page.get_by_text("95 % within").first).to_be_visible()
        expect(page.locator("figure[data-chart=first] [data-reads]")).to_contain_text("median")


def ask(gateway: RunningGateway, body: Mapping[str, object]) -> int:
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=60).status_code


def test_a_promotion_and_a_rollback_are_confirmed_made_and_seen(browser: Browser, judged: RunningGateway) -> None:
    before = incumbent_of(judged)
    with visiting(browser, judged.url) as page:
        page.goto("/")
        press(page, "Promote good@")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(before)
        expect(dialog).to_contain_text("good@")
        expect(dialog).to_contain_text("1 becomes 2")
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        assert incumbent_of(judged) == before

        press(page, "Promote good@")
        dialog.get_by_role("button", name="Promote", exact=True).click()
        expect(dialog).to_contain_text("answers for tutor, revision 2")
        dialog.get_by_role("button", name="Close").click()
        expect(page.locator(".serving .reference")).to_contain_text("good@")
        assert incumbent_of(judged).startswith("good@")

        press(page, "Roll back")
        expect(dialog).to_contain_text(before)
        dialog.get_by_role("button", name="Roll back", exact=True).click()
        expect(dialog).to_contain_text("revision 3")
        dialog.get_by_role("button", name="Close").click()
        expect(page.locator(".serving .reference")).to_have_text(before)
        assert incumbent_of(judged) == before

        # The evaluation is of a revision that is gone: the gate's word comes before anybody asks for it.
        press(page, "Promote good@")
        expect(dialog).to_contain_text("The gate refuses this now")
        expect(dialog).to_contain_text("revision 1")
        expect(dialog.get_by_role("button", name="Promote", exact=True)).to_have_count(0)


def test_a_change_that_comes_too_late_is_refused_with_what_to_do(browser: Browser, plain: Served) -> None:
    with httpx.Client(base_url=plain.url, timeout=30) as http, visiting(browser, plain.url, expected=("409",)) as page:
        faulty = http.post("/admin/variants", json={"source": str(SCRIPTED / "faulty")}).json()["reference"]
        revision = http.get("/admin/deployments/tutor").json()["revision"]
        change = {"model": "tutor", "expected_revision": revision, "variant": faulty, "override_reason": "a test"}
        http.post("/admin/promotions", json=change).raise_for_status()
        page.goto("/")
        press(page, "Roll back")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"{revision + 1} becomes {revision + 2}")
        back = {"model": "tutor", "expected_revision": revision + 1, "rollback": True}
        http.post("/admin/promotions", json=back).raise_for_status()
        dialog.get_by_role("button", name="Roll back", exact=True).click()
        expect(dialog.get_by_role("alert")).to_contain_text(f"is at revision {revision + 2}, not {revision + 1}")
        expect(dialog).to_contain_text("Close this, look at what serves now")


def test_an_engine_that_serves_nothing_is_unloaded_by_hand(browser: Browser, plain: Served) -> None:
    with httpx.Client(base_url=plain.url, timeout=30) as http, visiting(browser, plain.url) as page:
        faulty = http.post("/admin/variants", json={"source": str(SCRIPTED / "faulty")}).json()["reference"]
        http.post("/admin/engines", json={"variant": faulty}).raise_for_status()
        page.goto("/")
        expect(page.get_by_role("button", name="Unload")).to_have_count(1)
        press(page, "Unload")
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Unload", exact=True).click()
        expect(dialog).to_contain_text("is unloaded")
        dialog.get_by_role("button", name="Close").click()
        expect(page.get_by_role("button", name="Unload")).to_have_count(0)
        assert len(http.get("/admin/engines").json()) == 1


def test_a_key_signs_in_looks_and_signs_out_by_keyboard_alone(browser: Browser, keyed: Served) -> None:
    with visiting(browser, keyed.url, expected=("401",)) as page:
        page.goto("/playground")
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type("a guess")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not know that key")
        page.keyboard.type("secret-evaluation")
        page.keyboard.press("Enter")
        page.wait_for_url("**/playground")
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        assert page.evaluate("document.cookie") == ""
        assert "secret" not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")
        page.get_by_role("button", name="Sign out").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/sign-in")


def test_a_page_whose_session_has_ended_leads_to_the_sign_in(browser: Browser, keyed: Served) -> None:
    admin = {"authorization": "Bearer secret-admin"}
    made = httpx.post(f"{keyed.url}/admin/keys", json={"name": "leaves", "role": "evaluation"}, headers=admin).json()
    with visiting(browser, keyed.url, expected=("401",)) as page:
        page.goto("/")
        page.get_by_label("API key").fill(made["secret"])
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="tutor", exact=True)).to_be_visible()
        httpx.delete(f"{keyed.url}/admin/keys/leaves", headers=admin).raise_for_status()
        page.wait_for_url("**/sign-in")


def test_nothing_serious_keeps_anybody_from_using_it(browser: Browser, judged: RunningGateway) -> None:
    with visiting(browser, judged.url) as page:
        page.goto("/")
        expect(page.locator("figure[data-chart] svg")).to_have_count(4)
        press(page, "Promote good@")
        expect(page.get_by_role("dialog")).to_be_visible()
        assert serious_violations(page, "#dialog") == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert serious_violations(page) == []
        assert not overflows_on_a_phone(page)


def test_a_page_that_nobody_sees_asks_for_nothing(browser: Browser, judged: RunningGateway) -> None:
    with visiting(browser, judged.url) as page:
        asked: list[str] = []
        page.add_init_script(
            "const hidden = { get: () => window.isAway ?? false };"
            "Object.defineProperty(Document.prototype, 'hidden', hidden);"
            "const every = window.setInterval;"
            "window.ticks = [];"
            "window.setInterval = (tick) => { window.ticks.push(tick); return 0; };"
        )
        page.goto("/")
        expect(page.locator("figure[data-chart] svg")).to_have_count(4)
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("window.isAway = true; window.ticks.forEach((tick) => tick())")
        assert page.evaluate("window.ticks.length") == 2
        page.evaluate("window.isAway = false")
        with page.expect_response("**/console/overview"), page.expect_response("**/console/recent*"):
            page.evaluate("window.ticks.forEach((tick) => tick())")
        assert len(asked) == 2
