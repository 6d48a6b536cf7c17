"""`gateway quantize` on the embedded model, and that it refuses before it works."""

import json
from pathlib import Path

import pytest

from tests.support.models import embedded_model, quantised_model
from tests.support.programs import run, sitecustomized

pytestmark = pytest.mark.model

FULL_DISK = """
import collections, shutil
usage = collections.namedtuple("usage", "total used free")
shutil.disk_usage = lambda path: usage(2**40, 2**40 - 1024, 1024)
"""
"""A sitecustomize.py in whose processes every disk has 1,024 bytes left."""


def test_a_width_is_built_with_progress_and_its_place_is_printed(tmp_path: Path) -> None:
    ended = run("gateway", "quantize", embedded_model(), "--bits", "4", "--group-size", "32", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    build = tmp_path / "float16-4bit"
    assert ended.stdout == f"4-bit: {build}\n"
    assert "quantising to 4 bits ..." in ended.stderr
    assert json.loads((build / "config.json").read_text())["quantization"] == {
        "bits": 4,
        "group_size": 32,
        "mode": "affine",
    }
    assert (build / "model.safetensors").stat().st_size < (embedded_model() / "model.safetensors").stat().st_size / 3


def test_a_quantised_model_is_not_quantised_again(tmp_path: Path) -> None:
    ended = run("gateway", "quantize", quantised_model(8), "--bits", "4", cwd=tmp_path)
    assert ended.returncode == 1
    assert "is quantised already" in ended.stderr.splitlines()[-1]


def test_a_disk_that_cannot_hold_the_builds_is_refused_before_any_work(tmp_path: Path) -> None:
    ended = run(
        "gateway",
        *("quantize", embedded_model(), "--out", tmp_path / "builds"),
        cwd=tmp_path,
        environ=sitecustomized(tmp_path / "site", FULL_DISK),
    )
    assert ended.returncode == 1
    assert "free some space" in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "builds").exists()
