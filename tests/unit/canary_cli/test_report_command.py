"""`canary report` before it asks a gateway."""

import sys
from pathlib import Path

import pytest

from canary.cli import run
from canary.errors import ExitCode


def test_a_page_is_not_printed_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    assert run(["report", "any", "--format", "html"]) == ExitCode.USAGE
    assert "add `--out report.html`" in capsys.readouterr().err


def test_recorded_figures_are_markdown_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--recorded", "phase26", "--format", "html"]) == ExitCode.USAGE
    assert "--format md" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "missing" / "report.md"
    assert run(["report", "--recorded", "phase26", "--out", str(out)]) == ExitCode.USAGE
    assert str(out) in capsys.readouterr().err
