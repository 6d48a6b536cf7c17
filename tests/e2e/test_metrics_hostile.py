"""Whatever clients make up, the number of series stays what it was."""

import asyncio
import json
from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import pytest
import structlog

from canary.judge import judge
from gateway.contracts.evaluations import Criterion, Metric, Role, Rule
from gateway.contracts.keys import KeyRole
from gateway.contracts.variants import Variant
from gateway.keys import load_keys
from gateway.settings import KeySettings, MetricsSettings, Settings
from tests.support.evaluations import make_evaluation, make_system
from tests.support.scraping import scrape
from tests.support.served import SCRIPTED, Served, serving

CONNECTIONS = 8
NAMES = 1_000
"""Each in ten requests."""
RECORDED = 100
NUMBER = b"@NUMBER@"
SECRETS = {role.value: f"a-secret-of-{role}" for role in KeyRole}
EVALUATION = {"authorization": f"Bearer {SECRETS['evaluation']}"}
METHODS = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "SEARCH", "PURGE"]
"""That the HTTP parser knows: it lets no other through to the gateway."""
MODELS = [SCRIPTED / "tutor", SCRIPTED / "faulty"]
FLOOR = Criterion(name="floor", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.5)


@pytest.fixture
def served(tmp_path: Path) -> Generator[Served]:
    keys = load_keys([KeySettings(name=role, role=KeyRole(role), secret_env=role) for role in SECRETS], environ=SECRETS)
    settings = Settings(state_dir=str(tmp_path), metrics=MetricsSettings(max_label_values=4))
    # Thousands of lines for people to read would take longer than the requests.
    with structlog.testing.capture_logs(), serving(settings, MODELS, keys=keys) as served:
        yield served


def test_what_clients_make_up_adds_no_series(served: Served) -> None:
    recording = evaluation_content(served)
    attack(served, range(20))
    record_made_up(served, recording, range(20))
    before = scrape(served.url).keys()
    assert any("suite=other" in name and "criterion=other" in name for name in before)
    assert not [name for name in before if "model=made-up" in name]
    attack(served, range(20, 20 + NAMES))
    record_made_up(served, recording, range(20, 20 + RECORDED))
    assert scrape(served.url).keys() == before


def made_up(number: int) -> list[bytes]:
    """Return requests that each name something else: models, keys, paths, methods, suites, variants, ids."""
    name = f"made-up-{number}"
    chat = {"model": name, "messages": [{"role": "user", "content": "Hello"}]}
    run = {"id": name, "model": "tutor", "suite": name, "incumbent": name, "candidates": [], "phase": "trials"}
    return [
        request("POST", "/v1/chat/completions", chat, SECRETS["chat"]),
        request("POST", "/v1/chat/completions", {**chat, "model": "tutor"}, name),
        request("POST", "/v1/completions", {"model": name, "prompt": name}, SECRETS["chat"]),
        request("POST", f"/v1/{name}", chat, SECRETS["chat"]),
        request(METHODS[number % len(METHODS)], f"/{name}", None, SECRETS["chat"]),
        request("POST", "/v1/chat/completions", {**chat, "model": "tutor"}, SECRETS["admin"], variant=name),
        request("POST", "/admin/progress", run, SECRETS["evaluation"]),
        request("POST", "/admin/progress", {**run, "model": name}, SECRETS["evaluation"]),
        request("GET", f"/admin/evaluations/{name}", None, SECRETS["evaluation"]),
        request(f"MADE{number}", "/v1/chat/completions", None, SECRETS["chat"]),
    ]


def request(method: str, path: str, body: object, key: str, *, variant: str | None = None) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    pin = f"x-gateway-variant: {variant}@01234567\r\n" if variant else ""
    return (
        f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nx-request-id: {key}\r\n"
        f"{pin}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    ).encode() + data


def attack(served: Served, numbers: range) -> None:
    """Send the requests of each number together, over a few connections; see that each gets a refusal or a yes."""
    url, left = httpx.URL(served.url), iter(numbers)

    async def send() -> None:
        for number in left:
            reader, writer = await asyncio.open_connection(url.host, url.port)
            *together, last = made_up(number)  # what no parser takes ends the connection, with all that is under way
            for requests in (together, [last]):
                writer.write(b"".join(requests))
                for _ in requests:
                    await answer(reader)
            writer.close()
            await writer.wait_closed()

    async def send_all() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(send())

    asyncio.run(send_all())


async def answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert int(head.split(maxsplit=2)[1]) < 500, head
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))


def record_made_up(served: Served, content: bytes, numbers: range) -> None:
    """Record an Evaluation under a suite of its own for each number, with criteria and categories of its own."""
    with httpx.Client(base_url=served.url, headers=EVALUATION, timeout=30) as http:
        for number in numbers:
            named = content.replace(NUMBER, str(number).encode())
            http.post("/admin/evaluations", content=named).raise_for_status()


def evaluation_content(served: Served) -> bytes:
    """Return an Evaluation of the served variants, with `NUMBER` in all its names: to judge each anew takes long."""
    views = httpx.get(f"{served.url}/admin/variants", headers=EVALUATION, timeout=30).raise_for_status().json()
    variants = [msgspec.convert(view["variant"], Variant) for view in views]
    number = NUMBER.decode()
    systems = [
        msgspec.structs.replace(make_system(variant.name, role), variant=variant)
        for variant, role in zip(variants, Role, strict=True)
    ]
    bare = make_evaluation(
        {variant.name: [1.0] * 3 for variant in variants},
        systems=systems,
        categories=[f"category-{number}-{case}" for case in range(3)],
        criteria=[msgspec.structs.replace(FLOOR, name=f"floor-{number}")],
    )
    of_suite = msgspec.structs.replace(bare.suite, name=f"suite-{number}")
    told = msgspec.structs.replace(bare, id=f"evaluation-{number}", suite=of_suite)
    return msgspec.json.encode(msgspec.structs.replace(told, judgements=judge(told)))
