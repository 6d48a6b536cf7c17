import io

from rich.console import Console

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
