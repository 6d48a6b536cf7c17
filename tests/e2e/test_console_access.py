"""Who may look at the console and act on it: sessions, and what other pages may try with somebody's browser."""

import re
from collections.abc import Generator, Mapping

import httpx
import pytest

from gateway.api.auth import SESSION_COOKIE, TOKEN_HEADER
from gateway.settings import Settings
from tests.support.programs import RunningGateway, gateway_serving, sitecustomized
from tests.support.served import SCRIPTED, Served, key_of_each_role, serving

PAGE = {"accept": "text/html"}
OWN = {"sec-fetch-site": "same-origin"}
ROLLBACK = {"model": "tutor", "expected_revision": "1", "rollback": "true"}
CHAT = "/v1/chat/completions"
BODY = {"model": "tutor", "messages": [{"role": "user", "content": "Hello"}]}
ACTIONS = ("/console/promotions", "/console/unloading", "/playground/engines", "/sign-out", CHAT)
FOREIGN: tuple[dict[str, str], ...] = (
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},  # another port of this host
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "{url}"},
    {"origin": "https://attacker.example"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://[::1"},
    {},
)
"""What a browser says of requests that no page of the console sends, and what says nothing."""
HIDE_NUMPY = """
import sys
if "gateway.engine" not in sys.orig_argv:
    sys.modules |= {"numpy": None, "scipy": None}
"""


@pytest.fixture(scope="module")
def without_numpy(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    """A gateway whose HTTP process can import neither numpy nor scipy."""
    home = tmp_path_factory.mktemp("light")
    with gateway_serving(
        home, "--model", SCRIPTED / "tutor", environ=sitecustomized(home / "site", HIDE_NUMPY)
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """Without keys, on loopback."""
    with serving(Settings(state_dir=str(tmp_path_factory.mktemp("open"))), [SCRIPTED / "tutor"]) as served:
        yield served


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(
        Settings(state_dir=str(tmp_path_factory.mktemp("keyed"))), [SCRIPTED / "tutor"], keys=key_of_each_role()
    ) as served:
        yield served


@pytest.fixture
def http(keyed: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=keyed.url, timeout=30) as http:
        yield http


def sign_in(http: httpx.Client, secret: str, headers: Mapping[str, str] = OWN) -> httpx.Response:
    return http.post("/sign-in", data={"key": secret, "next": "/"}, headers={**PAGE, **headers})


def token_of(http: httpx.Client) -> str:
    page = http.get("/", headers=PAGE)
    assert page.status_code == 200, page.text
    found = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
    assert found is not None
    return found[1]


def as_told(headers: Mapping[str, str], url: str) -> dict[str, str]:
    return {name: value.format(url=url) for name, value in headers.items()}


# --- signing in ---


def test_whoever_is_not_signed_in_is_sent_to_do_so_and_then_back(http: httpx.Client) -> None:
    sent = http.get("/playground", headers=PAGE)
    assert sent.status_code == 303
    assert sent.headers["location"] == "/sign-in?next=/playground"
    assert '<input type="hidden" name="next" value="/playground">' in http.get(sent.headers["location"]).text
    assert http.get("/console/overview", headers={"hx-request": "true"}).headers["hx-redirect"] == "/sign-in"
    looked_up = http.get("/requests?find=a%26b", headers=PAGE).headers["location"]
    assert 'name="next" value="/requests?find=a%26b"' in http.get(looked_up).text
    assert (
        http.post("/sign-in", data={"key": "secret-admin", "next": "/requests?find=a%26b"}, headers=OWN).headers[
            "location"
        ]
        == "/requests?find=a%26b"
    )


def test_a_program_without_a_key_is_told_so_in_json_and_one_with_a_key_where_to_go(http: httpx.Client) -> None:
    assert http.get("/").json()["error"]["code"] == "invalid_api_key"
    told = http.get("/", headers={"authorization": "Bearer secret-evaluation"}).json()
    assert told["document"] == "/openapi.json"


def test_a_key_opens_a_session_whose_cookie_no_script_reads_and_no_other_site_sends(http: httpx.Client) -> None:
    answer = sign_in(http, "secret-admin")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    parts = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= parts
    assert "secure" not in parts
    assert "secret-admin" not in answer.headers["set-cookie"]
    assert "Sign out" in http.get("/", headers=PAGE).text


def test_the_cookie_is_kept_from_plain_connections_where_the_page_came_by_tls(http: httpx.Client) -> None:
    answer = sign_in(http, "secret-admin", {**OWN, "origin": "https://gateway.example"})
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(("secret", "status"), [("guess", 401), ("secret-chat", 403), ("", 400)])
def test_a_key_that_opens_nothing_is_refused_readably(http: httpx.Client, secret: str, status: int) -> None:
    answer = sign_in(http, secret)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers
    assert "guess" not in answer.text


def test_what_a_message_repeats_is_text_and_no_part_of_the_page(http: httpx.Client) -> None:
    sign_in(http, "secret-admin")
    answer = http.get("/console/promotion", params={"model": "<script>x</script>`<b>`"}, headers=PAGE)
    assert answer.status_code == 404
    assert "<script>x" not in answer.text
    assert "<b>" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_signing_in_leads_to_no_other_site(http: httpx.Client) -> None:
    for away in ("//attacker.example", "https://attacker.example", "/\\attacker.example", "x", "/a\nb"):
        answer = http.post("/sign-in", data={"key": "secret-admin", "next": away}, headers=OWN)
        assert answer.headers["location"] == "/"


def test_no_other_page_signs_somebody_in(http: httpx.Client) -> None:
    for headers in FOREIGN:
        answer = sign_in(http, "secret-admin", as_told(headers, str(http.base_url)))
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_signing_out_ends_the_session_and_not_only_its_cookie(http: httpx.Client) -> None:
    sign_in(http, "secret-admin")
    kept = http.cookies[SESSION_COOKIE]
    answer = http.post("/sign-out", headers={**OWN, TOKEN_HEADER: token_of(http)})
    assert answer.headers["hx-redirect"] == "/sign-in"
    assert SESSION_COOKIE not in http.cookies
    http.cookies.set(SESSION_COOKIE, kept)
    assert http.get("/", headers=PAGE).status_code == 303


def test_signing_in_anew_ends_the_session_until_then(http: httpx.Client) -> None:
    sign_in(http, "secret-admin")
    kept = http.cookies[SESSION_COOKIE]
    sign_in(http, "secret-evaluation")
    assert http.get("/", headers=PAGE).status_code == 200
    http.cookies.clear()
    assert http.get("/", headers={**PAGE, "cookie": f"{SESSION_COOKIE}={kept}"}).status_code == 303


def test_a_session_ends_when_its_key_is_revoked(http: httpx.Client) -> None:
    admin = {"authorization": "Bearer secret-admin"}
    made = http.post("/admin/keys", json={"name": "guest", "role": "evaluation"}, headers=admin).raise_for_status()
    sign_in(http, made.json()["secret"])
    token_of(http)
    http.delete("/admin/keys/guest", headers=admin).raise_for_status()
    assert http.get("/", headers=PAGE).status_code == 303


def test_a_cookie_that_was_made_up_opens_nothing(http: httpx.Client) -> None:
    for forged in ("", "x", "a" * 43, "../../etc", "1" * 5000):
        answer = http.get("/", headers={**PAGE, "cookie": f"{SESSION_COOKIE}={forged}"})
        assert answer.status_code == 303


def test_a_session_is_none_of_the_apis_business(http: httpx.Client) -> None:
    sign_in(http, "secret-admin")
    proof = {**OWN, TOKEN_HEADER: token_of(http)}
    assert http.get("/admin/keys", headers=proof).status_code == 401
    assert http.post("/v1/completions", json={"model": "tutor", "prompt": "a"}, headers=proof).status_code == 401


# --- acting ---


def test_a_session_acts_with_its_token_from_its_own_page(http: httpx.Client) -> None:
    sign_in(http, "secret-admin")
    answer = http.post("/console/promotions", data=ROLLBACK, headers={**OWN, **PAGE, TOKEN_HEADER: token_of(http)})
    assert answer.status_code == 409
    assert "has had no other incumbent" in answer.text


def test_what_is_no_promotion_and_no_rollback_is_neither(http: httpx.Client) -> None:
    sign_in(http, "secret-admin")
    proof = {**OWN, **PAGE, TOKEN_HEADER: token_of(http)}
    for form in ({"model": "tutor", "expected_revision": "1"}, {**ROLLBACK, "evaluation_id": "e"}):
        answer = http.post("/console/promotions", data=form, headers=proof)
        assert answer.status_code == 400
        assert "Say one of" in answer.text
    for form in ({}, {**ROLLBACK, "expected_revision": "one"}, {**ROLLBACK, "model": ""}):
        assert http.post("/console/promotions", data=form, headers=proof).status_code == 400
    asked = {"model": "tutor", "evaluation_id": "nobodys", "variant": "tutor"}
    assert http.get("/console/promotion", params=asked, headers=PAGE).status_code == 404


def test_over_plain_http_a_browser_shows_its_page_by_the_origin(http: httpx.Client) -> None:
    origin = {"origin": str(http.base_url).rstrip("/")}
    sign_in(http, "secret-admin", origin)
    answer = http.post("/console/promotions", data=ROLLBACK, headers={**origin, TOKEN_HEADER: token_of(http)})
    assert answer.status_code == 409


@pytest.mark.parametrize("path", ACTIONS)
def test_no_other_page_acts_in_somebodys_name(http: httpx.Client, path: str) -> None:
    sign_in(http, "secret-admin")
    proof = {TOKEN_HEADER: token_of(http)}
    for headers in FOREIGN:
        told = as_told(headers, str(http.base_url))
        assert http.post(path, content=b"{}", headers={**proof, **told}).status_code == 403, told
    assert token_of(http) == proof[TOKEN_HEADER]  # still signed in


@pytest.mark.parametrize("path", ACTIONS)
def test_nothing_is_done_without_the_sessions_token(http: httpx.Client, path: str) -> None:
    sign_in(http, "secret-admin")
    for proof in ({}, {TOKEN_HEADER: ""}, {TOKEN_HEADER: "x"}, {TOKEN_HEADER: "\xe9"}):
        headers = {name.encode(): value.encode("latin-1") for name, value in {**OWN, **proof}.items()}
        answer = http.post(path, content=b"{}", headers=headers)
        assert answer.status_code == 403
        assert TOKEN_HEADER in answer.json()["error"]["message"]


def test_the_token_of_one_session_is_none_of_another(http: httpx.Client, keyed: Served) -> None:
    sign_in(http, "secret-admin")
    with httpx.Client(base_url=keyed.url) as other:
        sign_in(other, "secret-admin")
        stolen = token_of(other)
    assert http.post("/sign-out", headers={**OWN, TOKEN_HEADER: stolen}).status_code == 403


def test_a_key_that_evaluates_looks_and_does_not_act(http: httpx.Client) -> None:
    sign_in(http, "secret-evaluation")
    proof = {**OWN, TOKEN_HEADER: token_of(http)}
    for path in ("/console/promotions", "/console/unloading"):
        answer = http.post(path, data=ROLLBACK, headers=proof)
        assert answer.status_code == 403
        assert "`admin`" in answer.json()["error"]["message"]
    assert "Roll back" not in http.get("/", headers=PAGE).text


def test_the_playground_asks_with_the_session(http: httpx.Client) -> None:
    sign_in(http, "secret-evaluation")
    proof = {**OWN, TOKEN_HEADER: token_of(http)}
    assert http.post(CHAT, json=BODY, headers=proof).status_code == 200


# --- without keys ---


def test_without_keys_this_machines_browser_acts_and_no_other_page_does(opened: Served) -> None:
    with httpx.Client(base_url=opened.url, timeout=30) as http:
        token = {TOKEN_HEADER: token_of(http)}
        assert http.post("/console/promotions", data=ROLLBACK, headers={**OWN, **token}).status_code == 409
        assert http.post("/console/promotions", data=ROLLBACK, headers=OWN).status_code == 403
        for headers in FOREIGN:
            told = as_told(headers, opened.url)
            assert http.post("/console/promotions", data=ROLLBACK, headers={**told, **token}).status_code == 403, told


def test_a_name_that_was_made_to_lead_here_is_not_answered(opened: Served) -> None:
    rebound = {"host": "attacker.example", "origin": "http://attacker.example", **OWN, **PAGE}
    for path in ("/", "/console/recent", "/console/assets/x/console.js"):
        answer = httpx.get(f"{opened.url}{path}", headers=rebound)
        assert answer.status_code == 403
        assert "csrf-token" not in answer.text


def test_without_keys_there_is_nothing_to_sign_in_to(opened: Served) -> None:
    assert httpx.get(f"{opened.url}/sign-in", headers=PAGE).headers["location"] == "/"


# --- pages ---


@pytest.mark.parametrize("path", ["/", "/sign-in", "/playground", "/console/promotion?model=nobody"])
def test_no_page_can_be_framed_or_made_to_run_a_script(http: httpx.Client, path: str) -> None:
    sign_in(http, "secret-admin")
    headers = http.get(path, headers=PAGE).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert "default-src 'self';" in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_an_address_that_leads_nowhere_is_a_page_for_people_and_an_error_for_programs(http: httpx.Client) -> None:
    for path in ("/nowhere", "/<b>", "/v1/nothing"):
        answer = http.get(path, headers=PAGE)
        assert answer.status_code == 404
        assert "There is no page at" in answer.text
        assert "<b>" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert http.get(path).json()["error"]["code"] == "not_found"
        assert http.post(path, headers={"accept": "application/json"}).json()["error"]["code"] == "not_found"


def test_another_page_may_link_to_the_console_and_not_embed_it(http: httpx.Client) -> None:
    sign_in(http, "secret-admin")
    foreign = {**PAGE, "sec-fetch-site": "cross-site"}
    link = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    frame = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    script = {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}
    assert http.get("/", headers={**foreign, **link}).status_code == 200
    for embedded in (frame, script, {}):
        assert http.get("/", headers={**foreign, **embedded}).status_code == 403


def test_assets_are_kept_for_long_typed_and_never_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/sign-in", headers=PAGE).text
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    found = re.findall(r'"(/console/assets/[^"]+)"', page)
    assert {path.rsplit(".", 1)[1] for path in found} == set(types)
    for path in found:
        asset = http.get(path).raise_for_status()
        assert asset.headers["content-type"] == f"{types[path.rsplit('.', 1)[1]]}; charset=utf-8"
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["x-content-type-options"] == "nosniff"
    version = found[0].split("/")[3]
    other = http.get(found[0].replace(version, "latest")).raise_for_status()
    assert other.headers["cache-control"] == "no-cache"
    for away in ("../auth.py", "..%2fassets.py", "%2e%2e/assets.py", "vendor/../../assets.py", "/etc/passwd", "vendor"):
        assert http.get(f"/console/assets/{version}/{away}").status_code == 404


@pytest.mark.parametrize("path", ["/", "/evaluations", "/history", "/playground", "/requests"])
def test_no_page_but_an_evaluations_brings_the_judges_libraries(without_numpy: RunningGateway, path: str) -> None:
    """Their import holds the interpreter for a second, and with it every stream."""
    page = httpx.get(f"{without_numpy.url}{path}", headers=PAGE, timeout=30).raise_for_status()
    assert page.headers["content-type"].startswith("text/html")
    for asset in re.findall(r'"(/console/assets/[^"]+)"', page.text):
        httpx.get(f"{without_numpy.url}{asset}", timeout=30).raise_for_status()
