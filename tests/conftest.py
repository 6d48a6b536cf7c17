"""Fixtures and rules that all tests share."""

import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell's background jobs ignore SIGINT, and so would the programs that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_PROGRAMS = "GATEWAY_REQUIRE_PROGRAMS"
"""Set to 1 (by `.ci/run`), a missing program is a failure instead of a skip."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest tests start first: of two workers, whoever started one last would end alone with it."""
    items.sort(key=lambda item: item.get_closest_marker("model") is None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def promtool() -> str:
    return require_program("promtool")


def require_program(name: str) -> str:
    """Return the path of a program that pip cannot bring; skip with that reason, or fail where the switch is set."""
    path = shutil.which(name)
    if path is None:
        reason = f"needs the program {name}, which pip cannot bring (.ci/run installs it)"
        if os.environ.get(REQUIRE_PROGRAMS) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
