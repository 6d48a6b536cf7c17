"""Every line goes one way out, and what must not be logged is not."""

import io
import json
import logging
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Literal

import pytest
import structlog

from gateway.settings import LogSettings
from gateway.telemetry.logs import FORBIDDEN_KEYS, set_up_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _put_logging_back() -> Generator[None]:
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    before = (root.handlers, root.level, access.level)
    yield
    root.handlers, level, access_level = before
    root.setLevel(level)
    access.setLevel(access_level)
    structlog.reset_defaults()


def set_up(
    level: Literal["debug", "info", "warning", "error"] = "info", output: io.StringIO | None = None
) -> io.StringIO:
    output = output if output is not None else io.StringIO()
    set_up_logging(LogSettings(level=level), output)
    return output


def test_an_event_is_one_line_of_json_with_its_time() -> None:
    output = set_up()
    structlog.get_logger("gateway").info("engine_started", pid=7)
    line = json.loads(output.getvalue())
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert line == {"event": "engine_started", "level": "info", "pid": 7}


def test_the_standard_library_takes_the_same_way() -> None:
    output = set_up()
    logging.getLogger("uvicorn.error").warning("shutting %s", "down")
    line = json.loads(output.getvalue())
    assert (line["event"], line["level"]) == ("shutting down", "warning")
    assert "timestamp" in line


def test_to_set_up_twice_does_not_double_the_lines() -> None:
    set_up()
    output = set_up()
    structlog.get_logger().info("engine_started")
    assert len(output.getvalue().splitlines()) == 1


def test_the_level_is_kept() -> None:
    output = set_up("warning")
    structlog.get_logger().info("engine_started")
    logging.getLogger("httpx").info("HTTP Request")
    structlog.get_logger().warning("engine_restarted")
    assert json.loads(output.getvalue())["event"] == "engine_restarted"


def test_the_servers_own_access_lines_are_left_out() -> None:
    output = set_up("debug")
    logging.getLogger("uvicorn.access").info("GET / 200")
    assert output.getvalue() == ""


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
@pytest.mark.parametrize("key", [*FORBIDDEN_KEYS, "Authorization", "PROMPT"])
def test_what_must_not_be_logged_is_dropped_however_deep(kind: type[io.StringIO], key: str) -> None:
    output = set_up(output=kind())
    log = structlog.get_logger().bind(**{key: "tell-nobody"})
    log.info("request_finished", request={"body": [{key: "tell-nobody", "role": "user"}]}, model="tutor")
    logging.getLogger("somebody").error("bad", extra={key.lower(): "tell-nobody"})
    assert "tell-nobody" not in output.getvalue()
    assert "tutor" in output.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_traceback_shows_no_local_variables(kind: type[io.StringIO]) -> None:
    output = set_up(output=kind())

    def crash(prompt: str) -> float:
        return len(prompt) / 0

    try:
        crash("tell-" + "nobody")
    except ZeroDivisionError:
        structlog.get_logger().exception("request_failed")
    assert "ZeroDivisionError" in output.getvalue()
    assert "tell-nobody" not in output.getvalue()


def test_a_terminal_gets_lines_for_people_unless_json_is_asked_for() -> None:
    output = set_up(output=Terminal())
    structlog.get_logger().info("engine_started")
    assert not output.getvalue().startswith("{")
    forced = Terminal()
    set_up_logging(LogSettings(format="json"), forced)
    structlog.get_logger().info("engine_started")
    assert json.loads(forced.getvalue())["event"] == "engine_started"
