"""The files under `deploy/` are accepted by what reads them."""

import subprocess
from pathlib import Path

from gateway.settings import load_settings

DEPLOY = Path(__file__).parents[3] / "deploy"


def test_the_example_configuration_loads_and_bootstraps_one_deployment() -> None:
    loaded = load_settings(DEPLOY / "gateway.example.toml", environ={"HOME": "/home/someone"}, flags={})

    assert [deployment.model for deployment in loaded.settings.deployments] == ["assistant"]
    assert loaded.origins["server.port"].endswith("gateway.example.toml")


def test_the_keys_that_the_example_leaves_commented_out_load_as_well(tmp_path: Path) -> None:
    lines = (DEPLOY / "gateway.example.toml").read_text(encoding="utf-8").splitlines()
    first_key = lines.index("# [[keys]]")
    after_keys = lines.index("[log]")
    uncommented = [line.removeprefix("#").strip() for line in lines[first_key:after_keys]]
    configuration = tmp_path / "gateway.toml"
    configuration.write_text("\n".join([*lines[:first_key], *uncommented, *lines[after_keys:]]), encoding="utf-8")

    loaded = load_settings(configuration, environ={"HOME": "/home/someone"}, flags={})

    assert [(key.name, key.role) for key in loaded.settings.keys] == [("clients", "chat"), ("release", "evaluation")]


def test_promtool_accepts_the_prometheus_configuration(promtool: str) -> None:
    configuration = DEPLOY / "prometheus" / "prometheus.yml"

    checked = subprocess.run(
        [promtool, "check", "config", str(configuration)], capture_output=True, text=True, timeout=30, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
