"""From a slow bucket to the request that was in it: a real Prometheus keeps the exemplars of a real gateway."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import require_program
from tests.support.programs import PATIENCE_S, gateway_serving, wait_until
from tests.support.prometheus import RunningPrometheus, prometheus_scraping
from tests.support.scripted_model import write_scripted_model

CHAT = "/v1/chat/completions"
HISTOGRAMS = ("gateway_request_duration_seconds_bucket", "gateway_time_to_first_token_seconds_bucket")
ODD = ["x" * 119, 'quo"te', "someone@example.com"]


def test_a_request_is_found_by_its_id_and_an_odd_one_is_not(tmp_path: Path) -> None:
    prometheus_program = require_program("prometheus")
    model = write_scripted_model(tmp_path / "tutor", 'default_text = "4"\nstep_delay_s = 0.3')
    data = tmp_path / "prometheus"
    data.mkdir()
    with (
        gateway_serving(tmp_path, "--model", model) as gateway,
        prometheus_scraping(prometheus_program, gateway.url, data) as prometheus,
    ):
        body = {"model": "tutor", "messages": [{"role": "user", "content": "Hello"}]}
        for request_id in ("find-me", *ODD):
            headers = {"x-request-id": request_id}
            answered = httpx.post(f"{gateway.url}{CHAT}", json=body, headers=headers, timeout=PATIENCE_S)
            assert answered.raise_for_status().headers["x-request-id"] == request_id
        for histogram in HISTOGRAMS:
            wait_until(lambda of=histogram: next(exemplars(prometheus, of), None) is not None)
            found = list(exemplars(prometheus, histogram))
            assert {each["labels"]["request_id"] for each in found} == {"find-me"}
            assert all(float(each["value"]) >= 0.3 for each in found)
        (line,) = (line for line in gateway.log.splitlines() if '"find-me"' in line)
        assert "request_finished" in line


def exemplars(prometheus: RunningPrometheus, histogram: str) -> Iterator[dict[str, Any]]:
    now_s = float(prometheus.ask("/query", {"query": "time()"})["result"][1])
    asked = {"query": histogram, "start": str(now_s - 300), "end": str(now_s)}
    for series in prometheus.ask("/query_exemplars", asked):
        yield from series["exemplars"]
