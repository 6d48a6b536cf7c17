"""API keys against a gateway that runs: made, rotated, revoked, limited, and each shown only what is its own."""

import json
import stat
from collections.abc import Generator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import structlog
from click.testing import CliRunner

from gateway.api.auth import ACCESS
from gateway.api.record import GENERATING
from gateway.errors import StartError
from gateway.keys import KeyRing
from gateway.keys_cli import keys_command
from gateway.settings import Settings
from tests.support.programs import PATIENCE_S, gateway_serving, run, wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import SCRIPTED, Served, serving

CHAT = "/v1/chat/completions"
SLOW = 'default_text = "' + "slow " * 400 + '"\nstep_delay_s = 0.02'
COUNTED = 'default_text = "Twelve bytes"'


@pytest.fixture(scope="module")
def admin_secret() -> list[str]:
    """Filled by whoever makes the first key."""
    return []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, admin_secret: list[str]) -> Generator[Served]:
    home = tmp_path_factory.mktemp("keys")
    models = [write_scripted_model(home / "slow", SLOW), write_scripted_model(home / "counted", COUNTED)]
    settings = Settings(state_dir=str(home))
    with serving(settings, models, keys=KeyRing()) as served:
        made = httpx.post(f"{served.url}/admin/keys", json={"name": "root", "role": "admin"}, timeout=PATIENCE_S)
        admin_secret.append(made.json()["secret"])
        yield served


@pytest.fixture
def admin(served: Served, admin_secret: list[str]) -> Generator[httpx.Client]:
    with client(served, admin_secret[0]) as http:
        yield http


def client(served: Served, secret: str) -> httpx.Client:
    return httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {secret}"}, timeout=PATIENCE_S)


def make(admin: httpx.Client, name: str, **grant: object) -> str:
    made = admin.post("/admin/keys", json={"name": name, "role": "chat", **grant}).raise_for_status()
    return made.json()["secret"]


def ask(http: httpx.Client, model: str = "counted", **fields: object) -> httpx.Response:
    return http.post(CHAT, json={"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields})


def _status(served: Served, secret: str) -> int:
    with client(served, secret) as http:
        return ask(http).status_code


def test_the_first_key_closes_the_gateway_to_whoever_has_none(served: Served, admin: httpx.Client) -> None:
    assert admin.get("/admin/keys").status_code == 200
    assert httpx.get(f"{served.url}/admin/keys", timeout=PATIENCE_S).status_code == 401
    assert httpx.get(f"{served.url}/v1/models", timeout=PATIENCE_S).status_code == 401


def test_a_key_of_every_role_but_admin_is_refused_the_keys(served: Served, admin: httpx.Client) -> None:
    for role in ("chat", "evaluation"):
        with client(served, make(admin, f"curious-{role}", role=role)) as http:
            for method, path in (
                ("GET", "/admin/keys"),
                ("POST", "/admin/keys"),
                ("POST", "/admin/keys/root/rotation"),
                ("DELETE", "/admin/keys/root"),
            ):
                assert http.request(method, path, json={}).status_code == 403


def test_a_revoked_key_is_refused_on_the_connection_that_is_open(served: Served, admin: httpx.Client) -> None:
    with client(served, make(admin, "short-lived")) as http:
        assert ask(http).status_code == 200
        assert admin.delete("/admin/keys/short-lived").status_code == 204
        refused = ask(http)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"


def test_a_stream_that_runs_goes_on_to_its_end_when_its_key_is_revoked(served: Served, admin: httpx.Client) -> None:
    body = {"model": "slow", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 60}
    with client(served, make(admin, "streaming")) as http, http.stream("POST", CHAT, json=body) as stream:
        lines = stream.iter_lines()
        next(lines)
        admin.delete("/admin/keys/streaming").raise_for_status()
        assert list(filter(None, lines))[-1] == "data: [DONE]"


def test_a_rotated_key_answers_to_its_new_secret_and_within_the_grace_to_its_old(
    served: Served, admin: httpx.Client
) -> None:
    old = make(admin, "rotated")
    new = admin.post("/admin/keys/rotated/rotation", json={"grace_s": 600}).json()["secret"]
    assert [_status(served, secret) for secret in (old, new)] == [200, 200]
    newest = admin.post("/admin/keys/rotated/rotation", json={}).json()["secret"]
    assert [_status(served, secret) for secret in (old, new, newest)] == [401, 401, 200]


def test_a_key_asks_for_its_models_and_sees_no_other(served: Served, admin: httpx.Client) -> None:
    with client(served, make(admin, "narrow", models=["counted", "not-served"])) as http:
        assert [card["id"] for card in http.get("/v1/models").json()["data"]] == ["counted"]
        assert http.get("/v1/models/counted").status_code == 200
        assert ask(http).status_code == 200
        assert http.post("/tokenize", json={"prompt": "Hi"}).status_code == 200  # the one model, unnamed
        refused = [
            http.get("/v1/models/slow"),
            ask(http, "slow"),
            http.post("/v1/completions", json={"model": "slow", "prompt": "Hi"}),
            http.post("/v1/responses", json={"model": "slow", "input": "Hi"}),
            http.post("/tokenize", json={"model": "slow", "prompt": "Hi"}),
        ]
    for response in refused:
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"
        assert response.json()["error"]["message"].endswith("this gateway serves: counted.")


def test_requests_over_the_rate_are_refused_with_the_time_to_wait(served: Served, admin: httpx.Client) -> None:
    with client(served, make(admin, "rated", requests_per_min=2)) as http:
        first, second, third = ask(http), ask(http, "nobody"), ask(http)
    assert (first.status_code, second.status_code, third.status_code) == (200, 404, 429)
    for response, remaining in ((first, "1"), (second, "0"), (third, "0")):
        assert response.headers["x-ratelimit-limit-requests"] == "2"
        assert response.headers["x-ratelimit-remaining-requests"] == remaining
        assert response.headers["x-ratelimit-reset-requests"].endswith("s")
        assert "x-ratelimit-limit-tokens" not in response.headers
    error = third.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
    assert 1 <= int(third.headers["retry-after"]) <= 30


def test_every_route_that_generates_has_the_limits_of_the_key(served: Served, admin: httpx.Client) -> None:
    asking = {route for route in ACCESS if route[0] == "POST" and route[1].startswith("/v1/")}
    assert asking - {("POST", "/v1/messages/count_tokens")} == GENERATING
    for number, (_, path) in enumerate(sorted(GENERATING)):
        with client(served, make(admin, f"route-{number}", requests_per_min=1)) as http:
            assert [http.post(path, json={}).status_code for _ in range(2)] == [400, 429]


def test_tokens_are_counted_as_they_were_used_also_of_a_stream(served: Served, admin: httpx.Client) -> None:
    for name, streamed in (("whole", False), ("streamed", True)):
        with client(served, make(admin, name, tokens_per_min=10)) as http:
            first = ask(http, stream=streamed)
            assert first.status_code == 200
            assert first.headers["x-ratelimit-remaining-tokens"] == "10"
            wait_until(lambda http=http: ask(http).status_code == 429)  # the end is counted when the answer is out
            refused = ask(http)
        assert refused.json()["error"]["type"] == "tokens"
        assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
        assert refused.headers["x-ratelimit-limit-tokens"] == "10"


def test_every_prompt_that_began_is_counted_though_the_client_leaves(served: Served, admin: httpx.Client) -> None:
    body = {"model": "slow", "prompt": ["a" * 100, "b" * 200], "stream": True}
    with structlog.testing.capture_logs() as logs:
        with (
            client(served, make(admin, "leaver", tokens_per_min=10_000)) as http,
            http.stream("POST", "/v1/completions", json=body) as stream,
        ):
            lines = stream.iter_lines()  # kept: the stream is closed with it
            next(line for line in lines if '"index":1' in line)

        def line() -> MutableMapping[str, Any] | None:
            return next((log for log in logs if log["event"] == "request_finished" and log["key"] == "leaver"), None)

        wait_until(lambda: line() is not None)
    left = line()
    assert left is not None
    assert left["code"] == "client_disconnected"
    assert left["prompt_tokens"] >= 300


def test_a_stream_holds_its_place_until_its_end_or_until_its_client_leaves(served: Served, admin: httpx.Client) -> None:
    body = {"model": "slow", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with client(served, make(admin, "one-at-a-time", max_concurrent=1)) as http:
        with http.stream("POST", CHAT, json=body) as stream:
            lines = stream.iter_lines()  # kept: the stream is closed with it
            next(lines)
            refused = ask(http)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(refused.headers["retry-after"]) >= 1
        wait_until(lambda: ask(http).status_code == 200)
        assert ask(http, "nobody").status_code == 404  # a refused request gives its place back
        wait_until(lambda: ask(http).status_code == 200)


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_has_an_answer_may_ask_again_at_once(served: Served, admin: httpx.Client, *, stream: bool) -> None:
    with client(served, make(admin, f"in-a-row-{stream}", max_concurrent=1)) as http:
        body = {"model": "counted", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        assert [http.post(CHAT, json=body).status_code for _ in range(100)] == [200] * 100


def test_what_is_refused_for_a_limit_is_counted_by_its_kind_and_by_no_name(admin: httpx.Client, served: Served) -> None:
    with client(served, make(admin, "secret-project", requests_per_min=1)) as http:
        ask(http)
        assert ask(http).status_code == 429
    metrics = httpx.get(f"{served.url}/metrics", timeout=PATIENCE_S).text
    assert 'gateway_requests_over_key_limit_total{limit="requests"}' in metrics
    assert "secret-project" not in metrics


def test_the_official_client_reads_the_limits(served: Served, admin: httpx.Client) -> None:
    official = openai.OpenAI(
        api_key=make(admin, "official", requests_per_min=1), base_url=f"{served.url}/v1", max_retries=0
    )
    with official:
        first = official.chat.completions.with_raw_response.create(
            model="counted", messages=[{"role": "user", "content": "Hi"}]
        )
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as raised:
            official.chat.completions.create(model="counted", messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a b", "role": "chat"}, "name"),
        ({"name": "app\n", "role": "chat"}, "name"),
        ({"name": "x", "role": "chat", "models": ["model\n"]}, "models"),
        ({"name": "x", "role": "owner"}, "role"),
        ({"name": "x", "role": "chat", "requests_per_min": 0}, "requests_per_min"),
        ({"name": "x", "role": "chat", "tokens_per_min": 10**400}, "tokens_per_min"),
        ({"name": "x", "role": "chat", "models": []}, "models"),
        ({"name": "x", "role": "chat", "secret": "mine"}, "secret"),
        ({"role": "chat"}, "name"),
    ],
)
def test_a_wrong_key_is_refused_by_its_field(admin: httpx.Client, body: dict[str, object], field: str) -> None:
    response = admin.post("/admin/keys", json=body)
    assert response.status_code == 400
    assert field in response.text


def test_the_command_makes_lists_rotates_and_revokes_without_a_restart(tmp_path: Path) -> None:
    """A gateway that others can reach starts with the key that was made before it, and is told of others as it runs."""
    made = run("gateway", "keys", "create", "root", "--role", "admin", "--state-dir", tmp_path / "state", cwd=tmp_path)
    root = made.stdout.strip()
    assert root.startswith("gw-")
    assert "not shown again" in made.stderr
    assert root not in made.stderr
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    host = "0.0.0.0"  # noqa: S104 - with a key it may be
    with (
        gateway_serving(tmp_path, "--model", SCRIPTED / "tutor", "--host", host) as gateway,
        httpx.Client(timeout=PATIENCE_S) as http,
    ):
        url = gateway.url.replace(host, "127.0.0.1")

        def asked(*arguments: str, secret: str = root) -> str:
            environ = {"GATEWAY_URL": url, "GATEWAY_API_KEY": secret}
            done = CliRunner().invoke(keys_command, arguments, env=environ)
            return done.exception.message if isinstance(done.exception, StartError) else done.stdout.strip()

        def status(secret: str) -> int:
            return http.get(f"{url}/v1/models", headers={"authorization": f"Bearer {secret}"}).status_code

        assert "in use by another gateway" in asked("revoke", "root", "--state-dir", str(tmp_path / "state"))
        assert "API key" in asked("list", secret="wrong")  # noqa: S106 - it is
        app = asked("create", "app", "--role", "chat", "--class", "batch", "--model", "tutor", "--max-concurrent", "2")
        (listed, _) = json.loads(asked("list", "--format", "json"))
        assert (listed["name"], listed["role"], listed["class"], listed["models"], listed["max_concurrent"]) == (
            "app",
            "chat",
            "batch",
            ["tutor"],
            2,
        )
        newer = asked("rotate", "app", "--grace", "1h")
        assert [status(app), status(newer)] == [200, 200]
        assert asked("revoke", "app") == "app is revoked."
        assert [status(app), status(newer)] == [401, 401]
        assert "last key of the role admin" in asked("revoke", "root")
        assert "there is no key 'app'" in asked("rotate", "app")
        assert "a letter or digit first" in asked("create", "a b", "--role", "chat")
        assert [line.split()[:2] for line in asked("list").splitlines()[1:]] == [["root", "admin"]]
        log = gateway.log
    assert not any(secret in log for secret in (root, app, newer))
    events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert [event for event in events if event.startswith("key_")] == ["key_created", "key_rotated", "key_revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--state-dir", "{missing}"],
        ["rotate", "app", "--state-dir", "{missing}"],
        ["revoke", "app", "--state-dir", "{missing}"],
        ["create", "app", "--role", "chat", "--gateway", "http://127.0.0.1:1", "--state-dir", "{missing}"],
        ["create", "app", "--role", "chat", "--tokens-per-min", "1" + "0" * 400],
        ["create", "app", "--role", "chat", "--model", ""],
        ["create", "app"],
    ],
)
def test_what_the_command_cannot_do_is_said_and_makes_nothing(tmp_path: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(keys_command, [each.format(missing=tmp_path / "missing") for each in arguments])
    assert done.exit_code == 2 or isinstance(done.exception, StartError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("said", "ended"), [("soon", 2), ("1w", 2), ("31d", 2), ("-1s", 2), ("90m", 0)])
def test_a_grace_is_a_number_and_a_unit(served: Served, admin: httpx.Client, said: str, ended: int) -> None:
    name = f"grace-{said.strip('-')}"
    make(admin, name)
    environ = {"GATEWAY_URL": served.url, "GATEWAY_API_KEY": admin.headers["authorization"].removeprefix("Bearer ")}
    assert CliRunner().invoke(keys_command, ["rotate", name, "--grace", said], env=environ).exit_code == ended
