"""The whole report of one Evaluation, on a terminal, in Markdown and as JSON."""

import io

import msgspec
import pytest
from rich.console import Console

from canary.report import render_json, render_markdown, render_terminal
from gateway.contracts.evaluations import Evaluation
from tests.support.evaluations import CANDIDATE_ERROR, INFRASTRUCTURE_ERROR
from tests.support.judged_runs import FLOOR, judged, with_answers

HOSTILE = "a | b `c` [bold red]d[/] \x1b[31m\x9b\u202e\r\n| --- | <b> ```\n# heading"


def terminal(evaluation: Evaluation, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    render_terminal(evaluation, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def single_spaced(text: str) -> str:
    return " ".join(text.split())


def one_lost_one_gained() -> Evaluation:
    return judged({"old": [1.0] * 19 + [0.0], "new": [0.0] + [1.0] * 19})


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_terminal_of_usual_width_breaks_no_name_and_no_number(width: int) -> None:
    names = ["smollm2-135m-instruct-8bit", "smollm2-135m-instruct-5bit", "smollm2-135m-instruct-4bit"]
    rendered = terminal(judged({name: [1.0] * 10 for name in names}, dequantised=True), width)

    assert max(len(line) for line in rendered.splitlines()) <= width
    words = rendered.split()
    for word in ("accuracy_vs_incumbent", "(incumbent)", "(21,474,836,480", "dequantised", "interval"):
        assert word in words, word
    assert width == 80 or all(any(word.startswith(f"{name}@") for word in words) for name in names)


def test_a_terminal_too_narrow_for_its_words_still_shows_all_of_them() -> None:
    rendered = terminal(one_lost_one_gained(), 30)

    assert max(len(line) for line in rendered.splitlines()) <= 30
    assert "Verdicts" in rendered


def test_flipped_cases_name_what_was_lost_before_what_was_gained() -> None:
    for rendered in (terminal(one_lost_one_gained()), render_markdown(one_lost_one_gained())):
        lost = rendered.index("Incumbent right, candidate wrong: 1")
        gained = rendered.index("Incumbent wrong, candidate right: 1")
        assert lost < rendered.index("case-000") < gained < rendered.index("case-019")


def test_a_flipped_case_shows_prompt_expectation_and_both_answers_with_reasons() -> None:
    rendered = render_markdown(one_lost_one_gained())

    assert "- case-000 (A): `?`\n  - expected: `!`\n  - incumbent: `an answer` (grade 1: as told)\n" in rendered
    assert "  - candidate: `an answer` (grade 0: as told)\n" in rendered


def test_an_error_of_the_candidate_is_shown_in_the_place_of_its_answer() -> None:
    rendered = render_markdown(judged({"old": [1.0] * 10, "new": [CANDIDATE_ERROR] + [1.0] * 9}))

    assert "  - candidate: `(error engine_crashed)` (grade 0: gone)" in rendered


def test_a_case_without_a_result_is_no_flip() -> None:
    rendered = render_markdown(judged({"old": [1.0] * 10, "new": [INFRASTRUCTURE_ERROR] + [1.0] * 9}))

    assert "Incumbent right, candidate wrong: 0" in rendered


def test_the_winner_of_the_run_is_named_and_so_is_the_rule() -> None:
    evaluation = judged({"old": [1.0] * 10, "five": [1.0] * 10, "four": [1.0] * 10})

    assert f"Winner: {evaluation.candidates[1].variant.reference}." in terminal(evaluation)
    assert "smallest in predicted memory" in terminal(evaluation)


def test_a_run_without_a_winner_says_so() -> None:
    assert "Winner: none." in terminal(judged({"old": [1.0] * 10, "new": [0.0] * 10}))


def test_each_verdict_names_what_decided_it() -> None:
    rendered = terminal(judged({"old": [1.0] * 10, "bad": [0.0] * 10, "good": [1.0] * 10}))
    verdicts = single_spaced(rendered[rendered.index("Verdicts") : rendered.index("Winner: ")])

    assert "bad failed accuracy, accuracy_vs_incumbent" in verdicts
    assert "good passed all required criteria: accuracy, generation_time" in verdicts


def test_a_criterion_shows_what_it_demands_what_was_observed_and_why_it_failed() -> None:
    rendered = render_markdown(judged({"old": [1.0] * 10, "bad": [1.0] * 4 + [0.0] * 6}))

    assert "| accuracy at least 50%" in rendered
    assert "| 40% (4/10)" in rendered
    assert "| -60 points (10 pairs)" in rendered
    assert "- accuracy: 40.0 %" in rendered


def test_a_dequantised_time_criterion_is_advisory_and_the_reason_is_printed() -> None:
    rendered = terminal(judged({"old": [1.0] * 10, "new": [1.0] * 10}, dequantised=True))

    assert "passed (advisory)" in rendered
    assert "advisory, not comparable: dequantised" in rendered
    assert "predicted for the weights as stored" in rendered


def test_a_criterion_without_a_figure_is_not_measured() -> None:
    rendered = render_markdown(judged({"old": [1.0] * 10, "new": [INFRASTRUCTURE_ERROR] * 10}))
    criteria = rendered[rendered.index("## Criteria: new") :]

    assert "| not measured" in criteria
    assert "- accuracy: 10 of 10 trials of the candidate have no result" in criteria


def test_a_verdict_on_advisory_criteria_alone_is_decided_by_none() -> None:
    advisory = msgspec.structs.replace(FLOOR, required=False)
    rendered = terminal(judged({"old": [1.0] * 10, "new": [1.0] * 10}, criteria=(advisory,)))

    assert "inconclusive no required criterion" in single_spaced(rendered)


def test_an_outcome_that_its_interval_leaves_open_is_listed() -> None:
    rendered = render_markdown(judged({"old": [1.0] * 20, "new": [1.0] * 12 + [0.0] * 8}))
    open_outcomes = rendered[rendered.index("does not establish") :]

    assert "- new, accuracy: passed, but 38.7% to 78.1% spans the bound (accuracy at least 50%)." in open_outcomes


def test_an_outcome_that_its_interval_confirms_is_not_listed() -> None:
    rendered = render_markdown(judged({"old": [1.0] * 20, "new": [1.0] * 20}))

    assert "new, accuracy: " not in rendered[rendered.index("does not establish") :]


def test_a_comparison_says_who_served_and_that_it_promotes_nothing() -> None:
    evaluation = judged({"old": [1.0] * 12, "new": [1.0] * 12})
    assert "promotes nothing" not in render_markdown(evaluation)
    compared = msgspec.structs.replace(evaluation, compared_while="abcdef" + "0" * 58)
    sentence = "has the incumbent's role here, while abcdef000000 served tutor: this record promotes nothing"
    assert sentence in render_markdown(compared)
    assert sentence in single_spaced(terminal(compared))


def test_the_choice_among_several_candidates_is_named_as_uncorrected() -> None:
    assert "best of 2 candidates" in terminal(judged({"old": [1.0] * 10, "a": [1.0] * 10, "b": [1.0] * 10}))
    assert "best of" not in terminal(judged({"old": [1.0] * 10, "a": [1.0] * 10}))


def test_what_a_model_wrote_cannot_command_the_terminal() -> None:
    rendered = terminal(with_answers(one_lost_one_gained(), HOSTILE))

    assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(rendered)
    assert "[bold red]d[/]" in rendered
    assert "\\x1b[31m\\x9b\\u202e\\r\\n" in rendered


def test_what_a_model_wrote_cannot_change_the_markdown() -> None:
    plain = render_markdown(one_lost_one_gained()).splitlines()
    hostile = render_markdown(with_answers(one_lost_one_gained(), HOSTILE)).splitlines()

    assert len(hostile) == len(plain)
    assert [line for line in hostile if line.startswith(("#", "|"))] == [
        line for line in plain if line.startswith(("#", "|"))
    ]
    assert any("````a | b `c` [bold red]d[/] \\x1b[31m" in line for line in hostile)


def test_a_hostile_name_cannot_break_a_table() -> None:
    evaluation = one_lost_one_gained()
    candidate = evaluation.candidates[0]
    renamed = msgspec.structs.replace(candidate, variant=msgspec.structs.replace(candidate.variant, name="a|b\n\x1b"))
    evaluation = msgspec.structs.replace(evaluation, systems=(evaluation.incumbent, renamed))
    header = next(line for line in render_markdown(evaluation).splitlines() if line.startswith("| Figure"))

    assert header.replace("\\|", "").count("|") == 5
    assert "\x1b" not in terminal(evaluation)


def test_the_json_report_is_the_record() -> None:
    evaluation = with_answers(one_lost_one_gained(), HOSTILE)

    rendered = render_json(evaluation)

    assert msgspec.json.decode(rendered, type=Evaluation) == evaluation
    assert not {"\x1b", "\x9b", "\u202e"} & set(rendered)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_is_wider_than_a_narrow_terminal(width: int) -> None:
    evaluation = judged({"old": [1.0] * 10, "five": [1.0] * 10, "four": [0.0] * 10}, dequantised=True)

    assert max(len(line) for line in terminal(evaluation, width).splitlines()) <= width
