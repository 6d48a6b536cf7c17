import io

import msgspec
from rich.console import Console

from canary.following import CandidateStanding
from canary.judge import Standing
from canary.progress import RunProgress
from gateway.contracts.evaluations import Role
from tests.support.evaluations import make_system, make_trial

SYSTEM = make_system("incumbent", Role.INCUMBENT)


def shown(*, terminal: bool, total: int) -> str:
    """Return what a console was written while all trials of a run ended."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with RunProgress(console) as progress:
        for sequence in range(total):
            progress.on_trial(make_trial(sequence, "case", SYSTEM, 1.0), total)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_gets_a_bar_that_ends_full() -> None:
    assert "4/4" in shown(terminal=True, total=4)


def test_a_run_shorter_than_ten_trials_has_a_line_for_each() -> None:
    assert shown(terminal=False, total=3) == "trials 1/3 (33 %)\ntrials 2/3 (66 %)\ntrials 3/3 (100 %)\n"


def test_nothing_is_shown_before_the_first_trial() -> None:
    assert shown(terminal=True, total=0) == ""


STANDING = Standing(pairs=40, planned=400, difference=-0.0125, low=-0.05, high=0.02, expected_stop=100)
LINE = "  five: -1.2 points so far (-5 points to +2 points; decides nothing), 40 of 400 cases, may end at 100\n"


def stands(label: str, standing: Standing = STANDING) -> CandidateStanding:
    return CandidateStanding(label=label, reference=f"{label}@01234567", standing=standing)


def test_how_each_candidate_stands_is_said_with_every_tenth() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=200)
    with RunProgress(console) as progress:
        progress.on_trial(make_trial(0, "case", SYSTEM, 1.0), 3)
        progress.on_case([stands("five"), stands("six", msgspec.structs.replace(STANDING, expected_stop=400))])
        progress.on_trial(make_trial(1, "case", SYSTEM, 1.0), 3)
        progress.on_case([])
        progress.on_trial(make_trial(2, "case", SYSTEM, 1.0), 3)
    assert isinstance(console.file, io.StringIO)
    first, second, third = "trials 1/3 (33 %)\n", "trials 2/3 (66 %)\n", "trials 3/3 (100 %)\n"
    assert (
        console.file.getvalue()
        == first + second + LINE + LINE.replace("five", "six").replace(", may end at 100", "") + third
    )


def test_a_terminal_has_the_standings_under_its_bar_cut_to_its_width() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=40)
    with RunProgress(console) as progress:
        progress.on_trial(make_trial(0, "case", SYSTEM, 1.0), 2)
        progress.on_case([stands("five")])
        progress.on_trial(make_trial(1, "case", SYSTEM, 1.0), 2)
    assert isinstance(console.file, io.StringIO)
    assert "five: -1.2 points so far (-5 points t…" in console.file.getvalue()


def test_a_name_cannot_move_the_cursor() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=200)
    with RunProgress(console) as progress:
        progress.on_case([stands("\x1b[2Jfive")])
        progress.on_trial(make_trial(0, "case", SYSTEM, 1.0), 1)
    assert isinstance(console.file, io.StringIO)
    assert "\x1b" not in console.file.getvalue()
