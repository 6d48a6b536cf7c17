"""What a foreign page in the browser of somebody who is signed in can do to the console, in a browser: nothing."""

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import structlog
from playwright.sync_api import Browser, BrowserContext, Page

from gateway.api.auth import SESSION_COOKIE
from gateway.api.sessions import FAILURES_PER_MIN, MAX_OF_A_KEY, Sessions
from gateway.errors import RateLimited, Unauthorized
from gateway.settings import Settings
from tests.support.browser import PATIENCE_MS, chromium
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, key_of_each_role, serving

ADMIN = {"authorization": "Bearer secret-admin"}
HOSTS = ("localhost", "127.0.0.1")
"""Of the foreign page: another site, and another port of the gateway's host, which the browser gives its cookie."""
ATTACK = """
async (gateway) => {
  const rollback = "model=tutor&expected_revision=2";
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const read = async (path, options) => {
    try {
      const answer = await fetch(gateway + path, { credentials: "include", ...options });
      return answer.type === "opaque" ? "unread" : await answer.text();
    } catch (error) { return "unread"; }
  };
  const submitted = (path, body) => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.name = "f" + Math.random();
    frame.onload = () => { if (frame.asked) resolve(frame.contentDocument ? "read" : "unread"); };
    document.body.append(frame);
    const posted = document.createElement("form");
    posted.method = "post"; posted.action = gateway + path; posted.target = frame.name;
    for (const [name, value] of new URLSearchParams(body)) {
      const field = document.createElement("input");
      field.name = name; field.value = value; posted.append(field);
    }
    document.body.append(posted);
    frame.asked = true;
    posted.submit();
  });
  const shown = (path) => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.onload = () => resolve(frame.contentDocument ? "read" : "unread");
    frame.src = gateway + path;
    document.body.append(frame);
  });
  const told = [];
  for (const mode of ["cors", "no-cors"]) {
    for (const path of ["/", "/playground", "/requests", "/console/recent", "/sign-in"]) {
      told.push(await read(path, { mode }));
    }
    told.push(await read("/console/promotions", { mode, method: "POST", body: rollback, headers: form }));
    told.push(await read("/sign-out", { mode, method: "POST" }));
    told.push(await read("/v1/chat/completions", { mode, method: "POST", body: '{"model": "tutor"}' }));
  }
  told.push(await submitted("/console/promotions", rollback));
  told.push(await submitted("/sign-in", "key=secret-evaluation"));
  told.push(await shown("/"));
  return told;
}
"""


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=["keyed", "open"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """Serve a model that could be rolled back."""
    home = tmp_path_factory.mktemp("attacked")
    models = [write_scripted_model(home / name, f"default_text = '{name}'") for name in ("tutor", "other")]
    keys = key_of_each_role() if request.param == "keyed" else None
    with serving(Settings(state_dir=str(home)), models, keys=keys) as served:
        promotion = {"model": "tutor", "expected_revision": 1, "variant": served.references["other"]}
        promoted = httpx.post(
            f"{served.url}/admin/promotions", json={**promotion, "override_reason": "to roll back"}, headers=ADMIN
        )
        promoted.raise_for_status()
        yield served


def _signed_in(context: BrowserContext, served: Served) -> Page:
    page = context.new_page()
    page.goto(served.url)
    if page.get_by_label("API key").is_visible():
        page.get_by_label("API key").fill("secret-admin")
        page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for(timeout=PATIENCE_MS)
    return page


def _facts(served: Served) -> Any:
    return httpx.get(f"{served.url}/admin/promotions", headers=ADMIN).raise_for_status().json()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title><body></body>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture(scope="module")
def foreign_port() -> Generator[int]:
    """Serve a page on another port: on loopback too, because Chromium keeps pages of the internet from it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_foreign_page_reads_nothing_and_changes_nothing(browser: Browser, served: Served, foreign_port: int) -> None:
    context = browser.new_context()
    try:
        own = _signed_in(context, served)
        cookies = context.cookies()
        kept = own.evaluate("() => document.cookie + JSON.stringify([{...localStorage}, {...sessionStorage}])")
        for secret in (SESSION_COOKIE, "secret-admin", *(cookie.get("value", "") for cookie in cookies)):
            assert secret not in kept
        before = _facts(served)
        page = context.new_page()
        for host in HOSTS:
            page.goto(f"http://{host}:{foreign_port}/")
            with structlog.testing.capture_logs() as logs:
                told = page.evaluate(ATTACK, served.url)
            assert [it for it in told if it != "unread"] == []
            done = [log for log in logs if log["event"] == "request_finished" and log["method"] == "POST"]
            assert done, "no attack reached the gateway"
            assert [log for log in done if log["status"] < 400] == []
        assert _facts(served) == before
        assert context.cookies() == cookies
        own.reload()
        assert own.get_by_role("heading", name="Overview").is_visible()
    finally:
        context.close()


def test_sessions_of_one_key_push_none_of_anothers_out() -> None:
    keys, sessions = key_of_each_role(), Sessions()
    admin = sessions.sign_in("secret-admin", keys)
    for _ in range(2 * MAX_OF_A_KEY):
        sessions.sign_in("secret-evaluation", keys)
    assert sessions.find(admin.id, keys) is not None


def test_wrong_keys_keep_no_right_one_out() -> None:
    keys, sessions = key_of_each_role(), Sessions()
    for _ in range(2 * FAILURES_PER_MIN):
        with pytest.raises((Unauthorized, RateLimited)):
            sessions.sign_in("a guess", keys)
    assert sessions.sign_in("secret-admin", keys).key.name == "admin"
