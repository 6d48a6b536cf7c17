"""Write a view to a terminal.

Everything is a rich Text: a string would be read for markup, and what a model wrote must not be.
"""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from canary.report.escaping import shortened, visible
from canary.report.flips import Answer, Flip, FlippedCases
from canary.report.table import Table
from canary.report.view import View

_GAP = 2
"""Columns of the terminal between two of a table."""
_STYLES = {"passed": "green", "failed": "red", "inconclusive": "yellow", "errored": "magenta"}


def print_view(view: View, console: Console) -> None:
    console.print(Text(visible(view.title), style="bold"))
    for name, value in view.identity:
        console.print(Text(f"{name}: {visible(value)}"))
    for flipped in view.flips:
        _print_flipped(flipped, console)
    tables = (view.systems, *view.fidelity, view.matrix, *view.latency, *view.memory, *view.criteria, view.verdicts)
    for table in tables:
        print_table(table, console)
    console.print()
    console.print(Text(visible(view.conclusion), style="bold"))
    console.print()
    console.print(Text("What this does not establish", style="bold"))
    for limit in view.limits:
        console.print(Text(f"- {visible(limit)}"))


def print_table(table: Table, console: Console) -> None:
    console.print()
    console.print(Text(visible(table.title), style="bold"))
    header = [Text(visible(title)) for title in table.header]
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    columns = list(zip(header, *rows, strict=True))
    widths = _column_widths(columns, console.width - _GAP * (len(columns) - 1))
    for title, width in zip(header, widths, strict=True):
        grid.add_column(title, width=width, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
    for note in table.notes:
        console.print(Text(f"- {visible(note)}"))


def _column_widths(columns: Sequence[Sequence[Text]], available: int) -> list[int]:
    """Return widths that break no word where that can be, and share the rest out so that short cells fit on one line.

    rich alone makes wide columns equally wide, and breaks a name for the sake of a sentence.
    """
    widths = [max(cell_len(word) for cell in column for word in (cell.plain.split() or [""])) for column in columns]
    while sum(widths) > max(available, len(columns)):
        widths[widths.index(max(widths))] -= 1
    spare = available - sum(widths)
    lacking = [max(cell.cell_len for cell in column) - width for column, width in zip(columns, widths, strict=True)]
    by_need = sorted(range(len(columns)), key=lambda index: lacking[index])
    for served, index in enumerate(by_need):
        more = min(lacking[index], spare // (len(columns) - served))
        widths[index] += more
        spare -= more
    return widths


def _cell(text: str) -> Text:
    first_word = text.partition(" ")[0]
    return Text(visible(text), style=_STYLES.get(first_word, ""))


def _print_flipped(flipped: FlippedCases, console: Console) -> None:
    console.print()
    console.print(Text(f"Flipped cases: {visible(flipped.label)}", style="bold"))
    for title, flips in (
        ("Incumbent right, candidate wrong", flipped.lost),
        ("Incumbent wrong, candidate right", flipped.gained),
    ):
        console.print(Text(f"{title}: {len(flips)}"))
        for flip in flips:
            _print_flip(flip, console)


def _print_flip(flip: Flip, console: Console) -> None:
    console.print(Text(f"  {visible(flip.case_id)} ({visible(flip.category)}): {shortened(flip.prompt)}"))
    console.print(Text(f"    expected:  {shortened(flip.expectation)}"))
    console.print(_answer("incumbent", flip.incumbent))
    console.print(_answer("candidate", flip.candidate))


def _answer(role: str, answer: Answer) -> Text:
    return Text(f"    {role}: {shortened(answer.text)}  (grade {answer.grade:g}: {shortened(answer.reason)})")
