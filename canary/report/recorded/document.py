"""A recorded run as one Markdown document: its tables, its decision, and what does not follow from it."""

from collections.abc import Iterator

from canary.report.escaping import markdown_text
from canary.report.markdown import markdown_table
from canary.report.quantities import rule, seconds
from canary.report.recorded.criteria import alternatives, recommended, standing
from canary.report.recorded.findings import findings
from canary.report.recorded.run import RecordedRun, RecordedSystem
from canary.report.recorded.tables import (
    categories_table,
    comparison_table,
    count_text,
    decision_table,
    size_text,
    speed_table,
    validation_table,
)


def render_markdown_recorded(run: RecordedRun) -> str:
    return "\n".join(_lines(run)) + "\n"


def _lines(run: RecordedRun) -> Iterator[str]:
    yield f"# {markdown_text(run.source.title)}"
    yield ""
    yield f"Recorded figures of {run.source.date.isoformat()}. Nothing was run to print this."
    yield ""
    for table in (validation_table(run), categories_table(run), speed_table(run), decision_table(run)):
        yield from markdown_table(table)
    chosen = recommended(run)
    if chosen is None:
        yield "**No system meets every criterion: deploy none.**"
        yield ""
        return
    yield from _recommendation_lines(run, chosen)
    yield from markdown_table(comparison_table(run, chosen))
    yield from _section("What the document got wrong, by its own figures", findings(run, chosen))


def _recommendation_lines(run: RecordedRun, chosen: RecordedSystem) -> Iterator[str]:
    yield "## Recommendation"
    yield ""
    yield f"**Deploy {_named(chosen)}.** It meets all {len(run.criteria)} criteria."
    yield ""
    for system in run.systems:
        missed = [rule(criterion) for criterion in run.criteria if not standing(criterion, system).met]
        if missed and system is not chosen:
            yield f"- {markdown_text(system.name)} is not shown to meet: {markdown_text('; '.join(missed))}."
    for other in alternatives(run, chosen):
        yield f"- {_against(chosen, other)}"
        yield f"- {_archive(other)}"
    yield ""


def _against(chosen: RecordedSystem, other: RecordedSystem) -> str:
    words = [
        f"accuracy {count_text(chosen.validation.accuracy)} against {count_text(other.validation.accuracy)}",
        f"field access {count_text(chosen.validation.field_access)} against "
        f"{count_text(other.validation.field_access)}",
    ]
    ours, theirs = chosen.speed.generation_time_s, other.speed.generation_time_s
    if ours is not None and theirs is not None:
        words.append(f"{theirs / ours:.1f}x the speed ({seconds(ours)} against {seconds(theirs)})")
    return f"Against {markdown_text(other.name)}: {markdown_text(', '.join(words))}."


def _archive(other: RecordedSystem) -> str:
    size = other.speed.disk_gib
    reclaims = "" if size is None else f", which frees {size_text(size)} of disk"
    return f"Archive {_named(other)}{reclaims}, or keep it as the variant of higher precision."


def _named(system: RecordedSystem) -> str:
    directory = "" if system.directory is None else f" (`{system.directory}/`)"
    return f"{markdown_text(system.name)}{directory}"


def _section(title: str, sentences: tuple[str, ...]) -> Iterator[str]:
    if not sentences:
        return
    yield f"## {title}"
    yield ""
    for sentence in sentences:
        yield f"- {markdown_text(sentence)}"
