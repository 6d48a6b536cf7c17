"""Criteria from the command line: what is read, and what is refused with the remedy."""

from pathlib import Path

import pytest

from canary.criteria_flags import with_flags
from canary.errors import UsageError
from canary.suite import Suite, load_suite
from gateway.contracts.evaluations import Criterion, Metric, Rule, Statistic
from tests.support.mini_suite import write_mini_suite


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    directory = write_mini_suite(tmp_path)
    with (directory / "suite.toml").open("a") as file:
        file.write("[protocol.latency]\nconcurrency = 4\n")
    return load_suite("mini", search_path=[tmp_path])


def only(suite: Suite, text: str, *, required: bool = True) -> Criterion:
    before = len(suite.manifest.criteria)
    (added,) = with_flags(suite, [text] if required else [], [] if required else [text]).manifest.criteria[before:]
    return added


def test_a_criterion_has_the_words_of_the_suites_file(suite: Suite) -> None:
    assert only(suite, "time_to_first_token_s.p95 <= 0.5 category=sums tag=demo concurrency=4 name=quick") == Criterion(
        name="quick",
        metric=Metric.TIME_TO_FIRST_TOKEN_S,
        statistic=Statistic.P95,
        rule=Rule.AT_MOST,
        bound=0.5,
        category="sums",
        tag="demo",
        concurrency=4,
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("accuracy>=0.8", Rule.AT_LEAST),
        ("accuracy at_least 0.8", Rule.AT_LEAST),
        ("accuracy at_most 0.8", Rule.AT_MOST),
        ("  accuracy  no_worse_than  0.8 ", Rule.NO_WORSE_THAN),
    ],
)
def test_a_rule_is_a_sign_or_its_name(suite: Suite, text: str, rule: Rule) -> None:
    found = only(suite, text, required=False)
    assert (found.rule, found.bound, found.required, found.name) == (rule, 0.8, False, " ".join(text.split()))


def test_the_suites_digest_stays_and_no_flag_changes_nothing(suite: Suite) -> None:
    assert with_flags(suite, [], []) is suite
    assert with_flags(suite, ["accuracy >= 0.5"], []).digest == suite.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accuracy", "write METRIC"),
        ("accuracy >= ", "write METRIC"),
        ("accuracy about 0.5", "there is no rule 'about'; there are: >=, <=, at_least"),
        ("speed <= 1", "there is no metric 'speed'; there are: accuracy"),
        ("accuracy.p100 >= 1", "there is no statistic 'p100'"),
        ("end_to_end_s <= 3s", "'3s' is no number"),
        ("accuracy >= 0.5 colour=red", "'colour=red' is none of category=..."),
        ("accuracy >= 0.5 tag=demo tag=demo", "each once"),
        ("accuracy >= 0.5 category=products", "names the category 'products'"),
        ("accuracy >= 0.5 tag=hard", "no case has the tag 'hard'; there are: demo"),
        ("memory_bytes <= 5 category=sums", "has no categories"),
        ("memory_bytes <= 5 tag=demo", "has no tags"),
        ("accuracy >= 0.5 concurrency=4", "has no concurrency"),
        ("end_to_end_s <= 3 concurrency=8", "nothing is timed at 8 requests"),
        ("accuracy >= 2", "outside the range"),
        ("end_to_end_s >= nan", "is no number"),
        ("load_time_warm_s no_worse_than 1", "no incumbent to compare with"),
        ("accuracy >= 0.5 name=memory", "there is a criterion 'memory' already"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(suite: Suite, text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        only(suite, text)
    assert said in str(raised.value)


def test_two_flags_of_one_name_are_refused(suite: Suite) -> None:
    with pytest.raises(UsageError, match="already"):
        with_flags(suite, ["accuracy >= 0.5"], ["accuracy >= 0.5"])
