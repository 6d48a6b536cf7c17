"""The log in a file of its own: JSON lines, begun anew before it grows too long, and refused where it cannot be."""

import json
import logging
from collections.abc import Generator
from pathlib import Path

import pytest
import structlog

from gateway.errors import StartError
from gateway.settings import LogSettings
from gateway.telemetry.logs import set_up_logging


@pytest.fixture(autouse=True)
def restored() -> Generator[None]:
    """Put the root logger back as pytest has it, and close what a test has opened."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_lines_go_to_the_file_as_json_and_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "logs" / "gateway.log"
    set_up_logging(LogSettings(file=str(file)))
    structlog.get_logger().info("something_happened", count=3)
    line = json.loads(file.read_text())
    assert (line["event"], line["count"]) == ("something_happened", 3)
    assert capsys.readouterr().err == ""


def test_a_file_that_is_full_is_kept_and_the_oldest_goes(tmp_path: Path) -> None:
    set_up_logging(LogSettings(file=str(tmp_path / "gateway.log"), file_max_bytes=1000, file_count=3))
    for number in range(100):
        structlog.get_logger().info("something_happened", number=number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["gateway.log", "gateway.log.1", "gateway.log.2"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert json.loads(files[0].read_text().splitlines()[-1])["number"] == 99


def test_a_file_that_cannot_be_written_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StartError, match=r"log file .*taken/gateway\.log cannot be written.*log\.file"):
        set_up_logging(LogSettings(file=str(tmp_path / "taken" / "gateway.log")))
