"""The wheel, installed outside the checkout: both programs find their suites and examples in it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REQUIRE_PROGRAMS
from tests.support.programs import environment

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uv() -> str:
    """The uv that runs the tests, as it says itself, or the one on the search path."""
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        reason = "needs uv, with which the README's command runs the tests"
        if os.environ.get(REQUIRE_PROGRAMS) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", out, CHECKOUT], check=True)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(uv: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the wheel was installed, without what it depends on."""
    target = tmp_path_factory.mktemp("installed")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target", target, wheel]
    subprocess.run(command, check=True)
    return target


def run_installed(installed: Path, module: str, *arguments: str, cwd: Path) -> str:
    """Run a program of the installed wheel, which must not find the checkout, and return what it prints."""
    command = [sys.executable, "-c", f"import {module}; {module}.main()", *arguments]
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=environment(cwd, {"PYTHONPATH": str(installed)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_carries_suites_and_examples_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for carried in (
        *("suites/smoke/cases.jsonl", "suites/phase26/recorded/run.toml", "deploy/gateway.example.toml"),
        *("deploy/prometheus/rules/alerts.yml", "deploy/grafana/dashboards/gateway-serving.json"),
    ):
        assert f"gateway/_data/{carried}" in names
    assert {name.partition("/")[0] for name in names} == {"gateway", "canary", "gateway_canary-0.1.0.dist-info"}


def test_an_installed_canary_reports_the_recorded_figures(installed: Path, tmp_path: Path) -> None:
    printed = run_installed(installed, "canary.cli", "report", "--recorded", "phase26", "--format", "md", cwd=tmp_path)
    assert "92%" in printed


def test_an_installed_gateway_checks_its_configuration(installed: Path, tmp_path: Path) -> None:
    example = installed / "gateway" / "_data" / "deploy" / "gateway.example.toml"
    printed = run_installed(installed, "gateway.cli", "check-config", "--config", str(example), cwd=tmp_path)
    assert "server.port" in printed
    where = "import gateway.suites as s, pathlib; print(pathlib.Path(s.__file__).resolve())"
    shown = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=environment(tmp_path, {"PYTHONPATH": str(installed)}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(shown.stdout.strip()).is_relative_to(installed)
