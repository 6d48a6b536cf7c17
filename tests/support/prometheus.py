"""A real Prometheus, with the configuration and the rules that are deployed, in a hurry."""

import re
import subprocess
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.programs import PATIENCE_S, end, wait_until

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
_EVERY = "1s"
_LISTENS = re.compile(r'msg="Listening on" address=(\S+)')


class RunningPrometheus:
    """A Prometheus that scrapes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=PATIENCE_S)

    def ask(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        """Return the data of its answer; what it cannot parse or run is an error with its words."""
        answer = self._http.get(path, params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the series that have a value now."""
        series = self.ask("/query", {"query": expression})["result"]
        return [each for each in series if each["value"][1] != "NaN"]

    def is_ready(self) -> bool:
        """Say whether it answers queries: it listens before that, and says 503."""
        return self._http.get("/status/runtimeinfo").is_success

    def close(self) -> None:
        self._http.close()


@contextmanager
def prometheus_scraping(program: str, gateway: str, home: Path) -> Generator[RunningPrometheus]:
    """Run it on a free port against the gateway's address, with its data in `home`; end it with the context."""
    log = home / "prometheus.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={_configuration(gateway, home)}",
                f"--storage.tsdb.path={home / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--enable-feature=exemplar-storage",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        wait_until(lambda: _LISTENS.search(log.read_text()) is not None, alive=lambda: _still_runs(process, log))
        address = _LISTENS.search(log.read_text())
        assert address is not None
        with closing(RunningPrometheus(f"http://{address[1]}")) as running:
            wait_until(running.is_ready, alive=lambda: _still_runs(process, log))
            yield running
    finally:
        end(process)


def _still_runs(process: subprocess.Popen[bytes], log: Path) -> None:
    assert process.poll() is None, log.read_text()


def _configuration(gateway: str, home: Path) -> Path:
    """Write what is deployed with another target, and with intervals that a test can wait for."""
    deployed = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text(encoding="utf-8"))
    deployed["global"] = {"scrape_interval": _EVERY, "evaluation_interval": _EVERY}
    (job,) = deployed["scrape_configs"]
    job["static_configs"] = [{"targets": [gateway.removeprefix("http://")]}]
    (pattern,) = deployed["rule_files"]
    for rules in DEPLOYED.glob(pattern):
        parsed = yaml.safe_load(rules.read_text(encoding="utf-8"))
        for group in parsed["groups"]:
            group.pop("interval", None)
        copy = home / pattern.replace("*", rules.stem)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(yaml.safe_dump(parsed), encoding="utf-8")
    configuration = home / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(deployed), encoding="utf-8")
    return configuration
