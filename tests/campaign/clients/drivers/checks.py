"""What a driver needs: the gateway's address, what is asked there, and one line of JSON for each check.

It runs in the client's own environment and imports the standard library only. `checks.mjs` is the same for Node.
"""

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

GATEWAY, *ARGUMENTS = sys.argv[1:]
SCRIPTED = "scripted"
"""Answers as `script.toml` says."""
CONSTRAINED = "constrained"
"""Runs a real model, so that grammars hold its answers."""
NOBODY = "nobody"
"""A model that is not served."""

PLAIN = "What is the capital of France?"
PLAIN_ANSWER = "Paris."
STREAMED = "Count to three."
STREAMED_ANSWER = "One, two, three."
WEATHER = "How is the weather in Paris?"
WEATHER_RESULT = "22 degrees"
WEATHER_ANSWER = "It is 22 degrees."
PLACE = "Where is Paris?"
COUNTRIES = ("France", "Spain")
BROKEN = "Break off."
"""Its stream ends in an error after some text."""
BROKEN_BEGINNING = "This br"
SLOW = "Count slowly."
"""Takes minutes."""
_SEEN_WITHIN_S = 30.0
_RUNS_WITHIN_S = 120.0


def run(**checks: Callable[[], str | None]) -> None:
    """Run each and say how it went; what it returns is a remark."""
    for name, check in checks.items():
        try:
            said = {"check": name, "passed": True, "remark": check()}
        except Exception as error:  # noqa: BLE001 - whatever a client raises is a result.
            said = {"check": name, "passed": False, "remark": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(said), flush=True)  # noqa: T201 - this is how a driver reports.


def same(found: Any, expected: Any) -> None:
    """Assert that both are equal, and say both where they are not."""
    if found != expected:
        raise AssertionError(f"expected {expected!r}, found {found!r}"[:400])


def raised(error_type: type[Exception], ask: Callable[[], object], *, said: str) -> None:
    """Assert that asking raises this, with the gateway's own words in it."""
    try:
        found = ask()
    except error_type as error:
        if said not in str(error):
            raise AssertionError(f"{said!r} is not in {error}"[:400]) from error
        return
    raise AssertionError(f"nothing was raised, and the answer is {found!r}"[:400])


def departures() -> int:
    """Return how many clients have left before their answers' ends, as the gateway counts them."""
    return sum(map(int, _values("gateway_requests_total{", 'status="499"')))


def seen_to_leave(before: int) -> None:
    """Assert that the gateway sees one more leave, while this process still lives."""
    deadline_s = time.monotonic() + _SEEN_WITHIN_S
    while departures() <= before:
        if time.monotonic() > deadline_s:
            raise AssertionError(f"after {_SEEN_WITHIN_S:g} s the gateway has not seen the client leave")
        time.sleep(0.05)


def seen_to_run() -> None:
    """Wait until a request holds a row."""
    deadline_s = time.monotonic() + _RUNS_WITHIN_S
    while sum(_values("gateway_requests_running")) == 0:
        if time.monotonic() > deadline_s:
            raise AssertionError(f"after {_RUNS_WITHIN_S:g} s no request runs")
        time.sleep(0.05)


def _values(metric: str, label: str = "") -> list[float]:
    """Return the values of the metric's series that have this label."""
    with urllib.request.urlopen(f"{GATEWAY}/metrics", timeout=10) as answer:  # noqa: S310 - the gateway's own address.
        lines = answer.read().decode().splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(metric) and label in line]
