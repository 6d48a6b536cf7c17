"""Who wins a row."""

import pytest

from canary.report.contest import NO_CONTEST, Entry, winner_of


def entry(label: str, value: float | None, *, printed: str = "", eligible: bool = True) -> Entry:
    return Entry(label=label, value=value, printed=printed or str(value), eligible=eligible)


@pytest.mark.parametrize(("higher_is_better", "winner"), [(True, "b"), (False, "a")])
def test_the_best_figure_wins(*, higher_is_better: bool, winner: str) -> None:
    assert winner_of([entry("a", 1.0), entry("b", 2.0)], higher_is_better=higher_is_better) == winner


def test_a_system_below_the_floors_cannot_win() -> None:
    broken = entry("fast but broken", 1.0, eligible=False)

    assert winner_of([broken, entry("b", 2.0)], higher_is_better=False) == "b"


def test_a_system_below_the_floors_cannot_tie() -> None:
    broken = entry("broken", 2.0, eligible=False)

    assert winner_of([broken, entry("b", 2.0)], higher_is_better=False) == "b"


def test_a_row_without_an_eligible_system_has_no_winner() -> None:
    assert winner_of([entry("a", 1.0, eligible=False)], higher_is_better=True) == NO_CONTEST


def test_figures_that_print_alike_tie() -> None:
    entries = [entry("a", 2.531, printed="2.53s"), entry("b", 2.529, printed="2.53s")]

    assert winner_of(entries, higher_is_better=False) == "tie"


def test_a_tie_among_some_names_them() -> None:
    entries = [entry("a", 1.0), entry("b", 1.0), entry("c", 3.0)]

    assert winner_of(entries, higher_is_better=False) == "tie: a, b"


def test_a_missing_figure_takes_no_part() -> None:
    assert winner_of([entry("a", None), entry("b", 1.0)], higher_is_better=True) == "b"


def test_a_row_without_figures_names_nobody() -> None:
    assert winner_of([entry("a", None), entry("b", None)], higher_is_better=True) == ""
