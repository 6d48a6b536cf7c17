"""A record as JUnit XML: what a build server fails by, and what it shows."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import msgspec
import pytest

from canary.judge import judge
from canary.report import render_junit
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Rule
from tests.support.evaluations import CANDIDATE_ERROR
from tests.support.judged_runs import FLOOR, MARGIN, judged, with_answers

HOSTILE = "]]> <b>&amp; \x00\x1b[31m\x9b\u202e\ud800\r\n</testcase>"


def parsed(document: str) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314 - written by us a moment ago


def suites(evaluation: Evaluation) -> list[ET.Element]:
    document = parsed(render_junit(evaluation))
    assert document.tag == "testsuites"
    return document.findall("testsuite")


def results(suite: ET.Element) -> Mapping[str, str]:
    """Return what each criterion's test says: the tag of its result, or `passed`."""
    return {
        case.attrib["name"]: next((each.tag for each in case if each.tag != "system-out"), "passed")
        for case in suite.findall("testcase[@classname='criteria']")
    }


def test_each_candidate_is_a_suite_and_each_criterion_a_test() -> None:
    good, bad = suites(judged({"old": [1.0] * 10, "good": [1.0] * 10, "bad": [0.0] * 10}, criteria=(FLOOR,)))

    assert good.attrib["name"].split(": ")[1].startswith("good@")
    assert results(good) == {"accuracy": "passed"}
    assert (good.attrib["failures"], good.attrib["errors"]) == ("0", "0")
    assert results(bad) == {"accuracy": "failure"}
    assert bad.attrib["failures"] == "1"


def test_an_inconclusive_criterion_fails_and_says_so() -> None:
    (suite,) = suites(judged({"old": [1.0], "new": [1.0]}, criteria=(MARGIN,)))

    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["type"] == "inconclusive"
    assert failure.attrib["message"]


def test_an_errored_criterion_is_an_error() -> None:
    evaluation = judged({"old": [1.0] * 10, "new": [1.0] * 10}, criteria=(FLOOR,))
    short = msgspec.structs.replace(evaluation, trials=tuple(t for t in evaluation.trials if t.case_id != "case-000"))
    (suite,) = suites(msgspec.structs.replace(short, judgements=judge(short)))
    assert results(suite) == {"accuracy": "error"}


def test_an_advisory_criterion_never_fails() -> None:
    ceiling = Criterion(name="size", metric=Metric.DISK_BYTES, rule=Rule.AT_MOST, bound=1.0, required=False)
    (suite,) = suites(judged({"old": [1.0] * 10, "new": [1.0] * 10}, criteria=(FLOOR, ceiling)))

    assert results(suite) == {"accuracy": "passed", "size": "skipped"}


def test_without_a_required_criterion_the_verdict_itself_is_a_failure() -> None:
    floor = msgspec.structs.replace(FLOOR, required=False)
    (suite,) = suites(judged({"old": [1.0] * 10, "new": [1.0] * 10}, criteria=(floor,)))

    assert results(suite) == {"accuracy": "passed", "verdict": "failure"}


def test_flipped_cases_show_both_answers_and_fail_nothing() -> None:
    (suite,) = suites(judged({"old": [1.0] * 10, "new": [CANDIDATE_ERROR] + [1.0] * 9}, criteria=(FLOOR,)))

    (flip,) = [case for case in suite.findall("testcase") if case.attrib["classname"].startswith("flipped")]
    assert flip.attrib == {"name": "case-000", "classname": "flipped: incumbent right, candidate wrong"}
    assert [child.tag for child in flip] == ["system-out"]
    assert "incumbent: an answer" in (flip[0].text or "")
    assert "candidate: (error engine_crashed)" in (flip[0].text or "")


@pytest.mark.parametrize("hostile", [HOSTILE, "]]>", "\x0b\x0c"])
def test_whatever_a_model_writes_the_document_is_xml_and_obeys_nothing(hostile: str) -> None:
    evaluation = with_answers(judged({"old": [1.0] * 10, "new": [0.0] * 10}), hostile)

    rendered = render_junit(evaluation)
    (suite,) = parsed(rendered).findall("testsuite")
    assert len(suite.findall("testcase")) == len(evaluation.criteria) + 10
    assert not any(ord(char) < 0x20 and char != "\n" for char in rendered)
