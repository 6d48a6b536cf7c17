"""The dashboards that Grafana is given are what the code makes, and ask for what the gateway has."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.dashboards.catalogue import DIRECTORY, rendered
from gateway.telemetry.metrics import Metrics

DEPLOY = Path(__file__).parents[3] / "deploy"
FULL_WIDTH = 24
SERIES = re.compile(r"(?:instance:)?(?:gateway|canary)_\w+(?::\w+)?")


def boards() -> list[dict[str, Any]]:
    return [json.loads(text) for text in rendered().values()]


def panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{board['title']}, {panel['title']}")
        for board in boards()
        for panel in board["panels"]
        if panel["type"] != "row"
    ]


@cache
def rules() -> list[dict[str, str]]:
    files = [yaml.safe_load(file.read_text("utf-8")) for file in (DEPLOY / "prometheus" / "rules").glob("*.yml")]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


@cache
def existing_series() -> set[str]:
    """Return the names of all series: the gateway's and those that rules record."""
    names = {rule["record"] for rule in rules() if "record" in rule}
    for family in Metrics().families:
        ends = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        names |= {f"{family.name}{end}" for end in ends}
    return names


def test_the_committed_files_are_what_the_code_makes() -> None:
    committed = {file.name: file.read_text(encoding="utf-8") for file in DIRECTORY.iterdir()}
    assert committed == rendered(), "run `python -m deploy.dashboards`"


@pytest.mark.parametrize("panel", panels())
def test_each_panel_explains_itself_and_asks_for_series_that_exist(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        asked = set(SERIES.findall(target["expr"]))
        assert asked or "up{" in target["expr"], target["expr"]
        assert asked <= existing_series()


def test_each_metric_is_on_a_dashboard() -> None:
    shown = {name for board in rendered().values() for name in SERIES.findall(board)}
    for family in Metrics().families:
        assert any(name.startswith(family.name) for name in shown), family.name


def test_each_rule_asks_for_series_that_exist() -> None:
    for rule in rules():
        asked = set(SERIES.findall(rule["expr"]))
        assert asked or "up{" in rule["expr"], rule
        assert asked <= existing_series(), rule


@pytest.mark.parametrize("board", boards(), ids=lambda board: board["title"])
def test_the_panels_fill_their_rows(board: dict[str, Any]) -> None:
    width = 0
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] == width % FULL_WIDTH, panel["title"]
        width += place["w"]
    assert width % FULL_WIDTH == 0


def test_what_provisions_grafana_finds_the_dashboards_and_a_data_source() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "gateway.yml").read_text("utf-8"))["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "gateway.yml").read_text("utf-8"))["datasources"]
    assert provider["options"]["path"].endswith("/dashboards/gateway")
    assert (source["type"], source["url"]) == ("prometheus", "http://127.0.0.1:9090")
