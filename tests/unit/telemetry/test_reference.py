"""The reference page says what is declared, and is as it was generated."""

import re
from pathlib import Path

import yaml

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.reference import PAGE, page

DEPLOYED = Path(__file__).parents[3] / "deploy" / "prometheus" / "rules"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `python -m gateway.telemetry.reference`"


def test_every_metric_has_one_row() -> None:
    rows = [line.split("`")[1] for line in page().splitlines() if line.startswith(("| `gateway_", "| `canary_"))]
    assert sorted(rows) == sorted(family.name for family in Metrics().families)


def test_every_label_is_bounded_and_said() -> None:
    for family in Metrics().families:
        for label in family.labels:
            assert bool(label.values) != bool(label.said), f"{family.name}: {label.name}"


def test_the_page_names_the_recording_rules_that_are_deployed() -> None:
    rules = yaml.safe_load((DEPLOYED / "vllm.yml").read_text(encoding="utf-8"))
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"]}
    deployed = {re.sub("_(bucket|sum|count)$", "", name) for name in recorded if name.startswith("vllm:")}
    rows = [line.split("|") for line in page().splitlines() if line.startswith("| `vllm:")]
    assert {name.strip(" `") for _, name, here, *_ in rows if not here.startswith(" none")} == deployed
