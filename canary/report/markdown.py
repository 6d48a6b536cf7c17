"""Write a view as Markdown: the answer first, then the figures, what they show, and what follows."""

from collections.abc import Iterator

# tabulate ships no types, and this file is the only one that imports it.
from tabulate import tabulate  # pyright: ignore[reportMissingModuleSource, reportUnknownVariableType] - see above

from canary.report.differences import KeyFigure
from canary.report.escaping import markdown_code, markdown_text, visible
from canary.report.flips import Answer, Flip, FlippedCases
from canary.report.table import Table
from canary.report.view import View


def markdown_of(view: View) -> str:
    return "\n".join(_lines(view)) + "\n"


def markdown_table(table: Table, *, heading: str = "##") -> Iterator[str]:
    """Yield a heading, a table in GitHub's form and its notes; all text is escaped here."""
    yield f"{heading} {markdown_text(table.title)}"
    yield ""
    yield str(
        tabulate(
            [[markdown_text(cell) for cell in row] for row in table.rows],
            headers=[markdown_text(cell) for cell in table.header],
            tablefmt="github",
            disable_numparse=True,
        )
    )
    yield ""
    for note in table.notes:
        yield f"- {markdown_text(note)}"
    if table.notes:
        yield ""


def _lines(view: View) -> Iterator[str]:
    yield f"# {markdown_text(view.title)}"
    yield ""
    yield from _summary_lines(view)
    for table in (view.matrix, *filter(None, view.differences), *view.fidelity, *view.latency, *view.memory):
        yield from markdown_table(table)
    yield from _findings_lines(view)
    for flipped in view.flips:
        yield from _flipped_lines(flipped)
    yield "## Decision"
    yield ""
    yield f"**{markdown_text(view.conclusion)}**"
    yield ""
    for table in (view.verdicts, *view.criteria):
        yield from markdown_table(table, heading="###")
    yield "## What this does not establish"
    yield ""
    for limit in view.limits:
        yield f"- {markdown_text(limit)}"
    yield ""
    yield "## What ran, and where"
    yield ""
    for name, value in view.identity:
        yield f"- {name}: {markdown_text(value)}"
    yield ""
    yield from markdown_table(view.systems, heading="###")


def _summary_lines(view: View) -> Iterator[str]:
    yield "## Summary"
    yield ""
    yield f"**Question:** {markdown_text(view.question)}"
    yield ""
    yield f"**Answer:** {markdown_text(view.headline.sentence)}"
    yield ""
    for row, figures in zip(view.verdicts.rows, view.key_figures, strict=True):
        candidate, outcome, decided_by = map(markdown_text, row)
        yield f"- **{candidate}**: **{outcome}** ({decided_by})"
        for each in figures:
            yield f"  - {markdown_text(_against(each))}"
    yield ""


def _against(figure: KeyFigure) -> str:
    spread = f", 95% interval {figure.interval}" if figure.interval else ""
    return f"{figure.title}: {figure.candidate} against {figure.incumbent}, {figure.change}{spread}"


def _findings_lines(view: View) -> Iterator[str]:
    yield "## Findings"
    yield ""
    for each in view.findings:
        yield f"### {markdown_text(each.label)}"
        yield ""
        for sentence in each.sentences:
            yield f"- {markdown_text(sentence)}"
        yield ""


def _flipped_lines(flipped: FlippedCases) -> Iterator[str]:
    yield f"## Flipped cases: {markdown_text(flipped.label)}"
    yield ""
    for title, flips in (
        ("Incumbent right, candidate wrong", flipped.lost),
        ("Incumbent wrong, candidate right", flipped.gained),
    ):
        yield f"### {title}: {len(flips)}"
        yield ""
        for flip in flips:
            yield from _flip_lines(flip)
        if flips:
            yield ""


def _flip_lines(flip: Flip) -> Iterator[str]:
    yield f"- {markdown_text(flip.case_id)} ({markdown_text(flip.category)}): {markdown_code(flip.prompt)}"
    yield f"  - expected: {markdown_code(flip.expectation)}"
    yield f"  - incumbent: {_answer(flip.incumbent)}"
    yield f"  - candidate: {_answer(flip.candidate)}"


def _answer(answer: Answer) -> str:
    return f"{markdown_code(answer.text)} (grade {answer.grade:g}: {markdown_text(visible(answer.reason))})"
