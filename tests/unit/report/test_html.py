"""The report as a page: one file that asks for nothing, and whatever a model says in it stays text."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from canary.report.escaping import MAX_PAGE_CHARACTERS
from canary.report.html import ASSETS, body, document
from canary.report.html.answers import beside
from gateway.contracts.evaluations import Completion, ErrorCause, Evaluation, Role, TrialError, Ungraded
from gateway.contracts.latency import LatencyRecord
from tests.support.evaluations import INFRASTRUCTURE_ERROR, make_system
from tests.support.full_run import full_run
from tests.support.judged_runs import judged, with_answers

HOSTILE = (
    '</script></style></title></pre><script>alert(1)</script><img src=x onerror="alert(2)">'
    "<!-- <svg onload=alert(3)> ' \" `${alert(4)}` {{ 7 * 7 }} {% raw %} &lt;b&gt; \u202e\x1b[31m\u2028"
)
RIGHT_TO_LEFT = "\u202e"


class Structure(HTMLParser):
    """Elements with the names of their attributes, and the text of those that hold data or programs."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self._script: dict[str, str | None] | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes.append((tag, dict(attrs)))
        self._script = dict(attrs) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}", ()))
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.raw.append((self._script, data))

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(text) for attributes, text in self.raw if attributes.get("type") == "application/json"]

    @property
    def programs(self) -> list[str]:
        return [text for attributes, text in self.raw if "type" not in attributes]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return full_run()


@pytest.fixture(scope="module")
def page(evaluation: Evaluation) -> str:
    return document(evaluation)


def without_marks(structure: Structure) -> list[tuple[str, tuple[str, ...]]]:
    """Return the elements but for the marks of words, of which other texts have others."""
    return [each for each in structure.elements if each[0].removeprefix("/") not in {"del", "ins"}]


def one_lost_one_gained() -> Evaluation:
    return judged({"old": [1.0] * 19 + [0.0], "new": [0.0] + [1.0] * 19}, times_s={"old": [1.5] * 20})


def named(evaluation: Evaluation, text: str) -> Evaluation:
    """Return the run with the same text in every place that a model, a suite or a machine fills."""
    filled = with_answers(evaluation, text)
    replace = msgspec.structs.replace
    renamed = {case.id: f"{case.id}{text}" for case in filled.cases}
    systems = tuple(
        replace(each, device=text, variant=replace(each.variant, name=f"{each.variant.name}{text}"))
        for each in filled.systems
    )
    digests = {
        before.variant.digest: after.variant.digest for before, after in zip(filled.systems, systems, strict=True)
    }
    return replace(
        filled,
        id=text,
        model=text,
        created_at=text,
        suite=replace(filled.suite, name=text, categories=dict.fromkeys(filled.suite.categories, text), digest=text),
        environment=replace(filled.environment, platform=text, versions={text: text}),
        cases=tuple(replace(case, id=renamed[case.id]) for case in filled.cases),
        systems=systems,
        latency=None if filled.latency is None else _renamed(filled.latency, renamed),
        trials=tuple(
            replace(
                trial,
                case_id=renamed[trial.case_id],
                variant_digest=digests[trial.variant_digest],
                grade=replace(trial.grade, reason=text),
            )
            for trial in filled.trials
        ),
        judgements=tuple(
            replace(
                judgement,
                variant_digest=digests[judgement.variant_digest],
                results=tuple(replace(result, reason=text) for result in judgement.results),
            )
            for judgement in filled.judgements
        ),
    )


def _renamed(latency: LatencyRecord, names: Mapping[str, str]) -> LatencyRecord:
    replace = msgspec.structs.replace
    return replace(
        latency,
        blocks=tuple(
            replace(block, answers=tuple(replace(each, case_id=names[each.case_id]) for each in block.answers))
            for block in latency.blocks
        ),
    )


def test_the_file_names_no_address_to_fetch_from(page: str) -> None:
    structure = Structure(page)
    fetching = [
        (tag, name, value)
        for tag, attributes in structure.attributes
        for name, value in attributes.items()
        if name in {"src", "srcset", "action", "poster", "data"}
        or (name == "href" and not (value or "").startswith("#"))
    ]
    assert fetching == [("link", "href", "data:,")]
    assert "url(" not in (ASSETS / "report.css").read_text()


def test_the_policy_allows_the_scripts_of_the_file_and_nothing_else(page: str) -> None:
    structure = Structure(page)
    policy = next(
        attributes["content"]
        for tag, attributes in structure.attributes
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in structure.programs}
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert len(hashes) == 4
    assert "script-src 'unsafe" not in policy


def test_no_attribute_of_the_file_is_a_program(page: str) -> None:
    assert not [name for _, names in Structure(page).elements for name in names if name.startswith("on")]


@pytest.mark.parametrize("make", [one_lost_one_gained, full_run])
def test_what_a_model_a_suite_or_a_machine_says_adds_no_element(make: Any) -> None:
    plain = Structure(document(named(make(), "plain;")))
    hostile = Structure(document(named(make(), f"{HOSTILE};")))

    assert hostile.programs == plain.programs
    assert without_marks(hostile) == without_marks(plain)


def test_hostile_labels_survive_in_the_data_of_the_pictures() -> None:
    hostile = Structure(document(named(one_lost_one_gained(), HOSTILE)))

    assert any(HOSTILE in label for chart in hostile.data for label in chart.get("systems", []))


def test_an_error_message_is_text_too() -> None:
    crash = TrialError(code="engine_crashed", message=HOSTILE, cause=ErrorCause.CANDIDATE)
    shown = body(judged({"old": [1.0] * 10, "new": [crash] + [1.0] * 9}))

    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_what_cannot_be_seen_is_spelled_out_and_lines_stay_lines() -> None:
    shown = body(with_answers(one_lost_one_gained(), f"one\ntwo{RIGHT_TO_LEFT}\x07"))

    assert "one\ntwo\\u202e\\x07" in shown
    assert RIGHT_TO_LEFT not in shown


def test_a_long_answer_is_cut_and_says_how_much_is_left_out() -> None:
    shown = body(with_answers(one_lost_one_gained(), "x" * (MAX_PAGE_CHARACTERS + 7)))

    assert f"{'x' * MAX_PAGE_CHARACTERS}... (7 more characters)" in shown
    assert "x" * (MAX_PAGE_CHARACTERS + 1) not in shown


def test_the_page_begins_with_the_decision_and_why(page: str) -> None:
    head = page[page.index("<header") : page.index("</header>")]

    assert "<h1>Promote 5bit</h1>" in head
    assert "5bit passed all 8 required criteria; 4bit failed on accuracy_vs_incumbent." in head


def test_flipped_cases_stand_before_all_cases_and_what_was_lost_before_what_was_gained(page: str) -> None:
    lost, gained = (
        page.index(f"5bit: incumbent {title}") for title in ("right, candidate wrong, 1", "wrong, candidate")
    )
    assert page.index('id="flips"') < lost < page.index("facts-052") < gained < page.index('id="cases"')


def test_a_flipped_case_marks_the_words_in_which_its_answers_differ(page: str) -> None:
    assert "41 + 42 = <del>93</del>." in page
    assert "41 + 42 = <ins>83</ins>." in page


def test_many_flips_of_one_kind_are_folded_after_the_first(page: str) -> None:
    flips = page[page.index('id="flips"') : page.index('id="criteria"')]
    assert "4bit: incumbent right, candidate wrong, 21" in flips
    assert "<summary>9 more</summary>" in flips


def test_all_cases_are_there_with_every_answer_and_why_there_is_none(evaluation: Evaluation, page: str) -> None:
    cases = page[page.index('id="cases"') :]
    assert cases.count('<details class="case-row"') == len(evaluation.cases)
    assert "4bit not tried" in cases
    assert "8bit ungraded" in cases
    assert "two programs in one answer" in cases


def test_cases_can_be_filtered_by_what_became_of_them() -> None:
    results = {
        "old": [1.0, 0.0, 1.0, 1.0, *[1.0] * 8],
        "new": [0.0, 1.0, INFRASTRUCTURE_ERROR, Ungraded(reason="unclear"), *[1.0] * 8],
    }
    kinds = re.findall(r'data-kinds="([^"]*)"', body(judged(results)))
    assert kinds == ["lost wrong", "gained wrong", "open", "open", *[""] * 8]


def test_the_forest_has_each_category_and_the_margin_of_the_criterion(evaluation: Evaluation, page: str) -> None:
    forest = next(chart for chart in Structure(page).data if chart.get("axis") == "difference, points")
    overall, *categories = forest["rows"]
    result = next(each for each in evaluation.judgements[0].results if each.criterion.name == "accuracy_vs_incumbent")
    assert result.low is not None
    assert (overall["label"], overall["margin"], overall["outcome"]) == ("Overall", -5.0, "passed")
    assert overall["low"] == pytest.approx(100 * result.low)
    assert [row["label"] for row in categories] == ["Facts", "Sums", "Field access", "Multi-step work"]
    assert {row["margin"] for row in categories} == {None}


def test_the_times_have_a_forest_with_the_margin_at_its_concurrency(page: str) -> None:
    forest = next(chart for chart in Structure(page).data if chart.get("axis") == "candidate over incumbent")
    margins = {row["label"]: row["margin"] for row in forest["rows"]}
    assert margins["End to end, one at a time"] == pytest.approx(1.1)
    assert margins["End to end, 4 at a time"] is None


def test_times_are_drawn_of_each_arm_at_each_concurrency(page: str) -> None:
    times = [chart for chart in Structure(page).data if chart.get("axis") == "seconds"]
    assert len(times) == 6
    assert all([arm["system"] for arm in chart["arms"]] == ["8bit", "5bit", "4bit"] for chart in times)


def test_a_system_that_is_its_own_candidate_has_the_times_of_its_own_trials() -> None:
    systems = [make_system("old", Role.INCUMBENT), make_system("old")]
    run = judged({"old": [1.0] * 12}, systems=systems)
    (chart,) = (chart for chart in Structure(body(run)).data if chart.get("axis") == "seconds")
    assert [len(arm["values"]) for arm in chart["arms"]] == [12, 12]


def test_of_many_times_two_hundred_are_drawn_and_the_extremes_among_them() -> None:
    times = [1.0 + number / 1000 for number in range(500)]
    run = judged({"old": [1.0] * 500, "new": [1.0] * 500}, times_s={"old": times, "new": times})
    (chart,) = (chart for chart in Structure(body(run)).data if chart.get("axis") == "seconds")
    values = chart["arms"][0]["values"]
    assert len(values) == 200
    assert (values[0], values[-1]) == (times[0], times[-1])


def test_memory_is_drawn_by_context_with_its_limit_and_over_requests(page: str) -> None:
    peak, repeats = (chart for chart in Structure(page).data if chart.get("y_axis") == "GiB")
    assert (peak["x_axis"], peak["limit"]) == ("tokens", 30.0)
    assert (repeats["x_axis"], len(repeats["points"])) == ("request", 3 * 24)


def test_a_run_without_memory_readings_says_where_the_memory_is() -> None:
    assert "It was read once, after each load" in body(one_lost_one_gained())


def test_every_picture_has_words_and_a_table_in_its_section(page: str) -> None:
    for figure in re.findall(r"<figure.*?</figure>", page, re.DOTALL):
        assert 'role="img" aria-label="' in figure
        assert "<figcaption>" in figure
    assert page.count("<caption") >= len(re.findall("<figure", page))


def test_digests_of_the_suite_and_of_every_variant_are_named_in_full(evaluation: Evaluation, page: str) -> None:
    assert evaluation.suite.digest in page
    assert all(system.variant.digest in page for system in evaluation.systems)


def test_the_body_brings_no_program_of_its_own(evaluation: Evaluation) -> None:
    assert Structure(body(evaluation)).programs == []


@pytest.mark.parametrize("name", ["report.css", "charts.js", "cases.js", "vendor/d3.min.js", "vendor/plot.umd.min.js"])
def test_a_page_that_embeds_the_body_finds_what_it_needs(name: str) -> None:
    assert (ASSETS / name).is_file()


@pytest.mark.parametrize("path", sorted(ASSETS.rglob("*.js")), ids=lambda path: path.name)
def test_no_script_can_end_the_element_it_stands_in(path: Path) -> None:
    assert not re.search("</script|<!--", path.read_text(), re.IGNORECASE)


def test_answers_beside_each_other_lose_nothing() -> None:
    left, right = beside("the same  and more\n", "the other  and more")
    assert "".join(run.text for run in left) == "the same  and more\n"
    assert [run.text for run in right if run.is_other] == ["other"]


def test_answers_too_long_to_compare_stand_unmarked() -> None:
    left, right = beside("a " * 500, "b")
    assert [run.is_other for run in (*left, *right)] == [False, False]


def test_completions_are_not_shown_for_a_trial_that_failed(evaluation: Evaluation, page: str) -> None:
    crashed = next(trial for trial in evaluation.trials if not isinstance(trial.result, Completion))
    row = page[page.index(f"<code>{crashed.case_id}</code>") :]
    assert "engine_crashed" in row[: row.index("</details>")]
