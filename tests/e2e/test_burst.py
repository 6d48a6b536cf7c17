"""A burst of clients over real HTTP: each is served or told when to come back, and service is normal afterwards."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx
import pytest

from gateway.settings import ClassSettings, EngineSettings, QueueSettings, Settings
from tests.support.served import serving

pytestmark = pytest.mark.anyio

CLIENTS = 300
MAX_ROWS = 8
MAX_QUEUED = 100
SCRIPT = "step_delay_s = 0.001\ndefault_text = 'All is well.'\n"


async def ask(port: int, number: int) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of one streamed request on a connection of its own."""
    message = {"role": "user", "content": f"client {number}"}
    body = json.dumps({"model": "model", "stream": True, "messages": [message]}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    first, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, rest


async def test_of_300_clients_at_once_each_is_served_or_told_when_to_come_back(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "scripted.toml").write_text(SCRIPT)
    settings = Settings(
        state_dir=str(tmp_path),
        engine=EngineSettings(max_rows=MAX_ROWS),
        queue=QueueSettings(interactive=ClassSettings(max_queued=MAX_QUEUED)),
    )
    with serving(settings, [model]) as served:
        port = int(served.url.rsplit(":", 1)[1])
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*(ask(port, number) for number in range(CLIENTS)))
        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) == {200, 429}
        assert statuses[200] >= MAX_ROWS + MAX_QUEUED
        for status, headers, body in answers:
            if status == 200:
                assert body.count(b"data: [DONE]") == 1
                assert b'"finish_reason":"stop"' in body
            else:
                assert int(headers["retry-after"]) >= 1
                assert b'"code":"queue_full"' in body
        async with httpx.AsyncClient(base_url=served.url) as http:
            metrics = (await http.get("/metrics")).text
        assert 'gateway_requests_queued{class="interactive"} 0.0' in metrics
        assert "gateway_requests_running 0.0" in metrics
        assert f'gateway_requests_refused_total{{class="interactive",reason="queue_full"}} {statuses[429]}.0' in metrics
        status, _, body = await ask(port, CLIENTS)
        assert status == 200
        assert b"data: [DONE]" in body
