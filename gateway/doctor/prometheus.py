"""Prometheus: does one scrape this gateway, and has it rules about it?"""

import re
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from gateway.doctor.finding import Finding, not_checked, ok, warning
from gateway.doctor.reach import url_of
from gateway.settings import ServerSettings, is_loopback

DEFAULT_URL = "http://127.0.0.1:9090"

_TIMEOUT_S = 5.0
_CHECK = "prometheus"
_ADD = "add the job of deploy/prometheus/prometheus.yml to its configuration, and reload it"
_OF_GATEWAY = re.compile(r'\b(gateway|canary)_|job="gateway"')
"""Begins the gateway's metrics, or asks whether it is scraped."""


async def examine_prometheus(server: ServerSettings, url: str | None) -> list[Finding]:
    """Ask the Prometheus at `url`, or the one on this machine's default port, if there is one."""
    asked = shown = (url or DEFAULT_URL).rstrip("/")
    if "@" in urlsplit(asked).netloc:  # a name and a password are nobody's to read
        shown = shown.replace(f"{urlsplit(asked).netloc.rpartition('@')[0]}@", "", 1)
    try:
        async with httpx.AsyncClient(base_url=asked, timeout=_TIMEOUT_S, trust_env=False) as client:
            targets = _data(await client.get("/api/v1/targets", params={"state": "active"})).get("activeTargets")
            groups = _data(await client.get("/api/v1/rules")).get("groups")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        if url is None:
            return [not_checked(_CHECK, f"none answers at {shown}", "name yours with --prometheus")]
        seen = f"{shown} does not answer as Prometheus does ({type(error).__name__})"
        return [warning(_CHECK, seen, "start it, or correct --prometheus")]
    return [_target(server, shown, _tables(targets)), _rules(shown, _tables(groups))]


def _target(server: ServerSettings, url: str, targets: list[dict[str, Any]]) -> Finding:
    mine = [target for target in targets if _is_mine(server, str(target.get("scrapeUrl", "")))]
    if not mine:
        return warning(_CHECK, f"{url} does not scrape {url_of(server)}/metrics", _ADD)
    up = [target for target in mine if target.get("health") == "up"]
    if not up:
        seen = (
            f"{url} scrapes this gateway, and the target is {mine[0].get('health')}: {mine[0].get('lastError') or '-'}"
        )
        return warning(_CHECK, seen, "start the gateway; where it has keys, give Prometheus one of role `chat`")
    return ok(_CHECK, f"{url} scrapes this gateway, and the target is up")


def _rules(url: str, groups: list[dict[str, Any]]) -> Finding:
    rules = [rule for group in groups for rule in _tables(group.get("rules"))]
    count = sum(_OF_GATEWAY.search(str(rule.get("query", ""))) is not None for rule in rules)
    if count == 0:
        seen = f"{url} has no rule about this gateway"
        return warning("prometheus rules", seen, "add deploy/prometheus/rules/*.yml to `rule_files`, and reload it")
    return ok("prometheus rules", f"{count} about this gateway")


def _is_mine(server: ServerSettings, scrape_url: str) -> bool:
    """Whether that is this gateway's: a host that is not loopback may be this machine's under any of its names."""
    parts = urlsplit(scrape_url)
    if parts.path != "/metrics" or parts.port != server.port:
        return False
    return is_loopback(parts.hostname or "") or not is_loopback(server.host)


def _data(response: httpx.Response) -> dict[str, Any]:
    body: Any = response.raise_for_status().json()
    data: Any = cast("dict[str, Any]", body).get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        raise ValueError("no data")  # noqa: TRY004 - of another server's answer, not of a caller's type
    return cast("dict[str, Any]", data)


def _tables(value: object) -> list[dict[str, Any]]:
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]
