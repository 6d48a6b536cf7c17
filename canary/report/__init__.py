"""Render one Evaluation: to a terminal, as a page, as Markdown, as JSON, as JUnit XML."""

import msgspec
from rich.console import Console

from canary.report.escaping import json_text
from canary.report.junit import junit_of
from canary.report.markdown import markdown_of
from canary.report.terminal import print_view
from canary.report.view import view_of
from gateway.contracts.evaluations import Evaluation

__all__ = ["render_html", "render_json", "render_junit", "render_markdown", "render_terminal"]


def render_terminal(evaluation: Evaluation, console: Console) -> None:
    print_view(view_of(evaluation), console)


def render_html(evaluation: Evaluation) -> str:
    from canary.report.html import document  # noqa: PLC0415 - brings Jinja, which no other command needs

    return document(evaluation)


def render_markdown(evaluation: Evaluation) -> str:
    return markdown_of(view_of(evaluation))


def render_json(evaluation: Evaluation) -> str:
    """Return the record itself: it decodes to the Evaluation that was given."""
    return json_text(msgspec.json.format(msgspec.json.encode(evaluation), indent=2).decode())


def render_junit(evaluation: Evaluation) -> str:
    return junit_of(evaluation)
