"""The rules for Prometheus are accepted and do what they say, and the runbook has a section for each alert."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
TESTS = sorted((Path(__file__).parent / "rules").glob("*.yml"))


def groups(files: list[Path], name: str) -> list[dict[str, Any]]:
    return [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))[name]]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in groups(RULES, "groups") for rule in group["rules"] if "alert" in rule]


def passes(*command: str | Path) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("rules", RULES, ids=lambda file: file.stem)
def test_promtool_accepts_the_rules(promtool: str, rules: Path) -> None:
    passes(promtool, "check", "rules", "--lint=all", "--lint-fatal", rules)


@pytest.mark.parametrize("tested", TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_they_say(promtool: str, tested: Path) -> None:
    passes(promtool, "test", "rules", tested)


def test_each_alert_is_shown_to_fire_and_not_to_fire() -> None:
    shown = [check for test in groups(TESTS, "tests") for check in test.get("alert_rule_test", ())]
    names = {alert["alert"] for alert in alerts()}
    assert {check["alertname"] for check in shown if check["exp_alerts"]} == names
    assert {check["alertname"] for check in shown if not check["exp_alerts"]} == names


def test_each_recording_rule_is_tested() -> None:
    recorded = {rule["record"] for group in groups(RULES, "groups") for rule in group["rules"] if "record" in rule}
    asked = " ".join(check["expr"] for test in groups(TESTS, "tests") for check in test.get("promql_expr_test", ()))
    assert {name for name in recorded if not re.search(rf"{name}\b", asked)} == {"instance:gateway_sole_model:info"}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (\S+)$", (DEPLOY.parent / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert alert["alert"].lower() == anchor
    assert alert["alert"] in headings


def test_the_runbook_has_no_page_of_an_alert_that_is_gone() -> None:
    headings = re.findall(r"^## ((?:Gateway|Canary)\w+)$", (DEPLOY / "RUNBOOK.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"] for alert in alerts())
