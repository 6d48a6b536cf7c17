"""Put a report's page together. What a model or a suite says is escaped by the templates; nothing here undoes it."""

import base64
import functools
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from canary.report.escaping import cut, json_text, multiline
from canary.report.flips import Flip, FlippedCases
from canary.report.html.answers import Words, answered_cases, beside
from canary.report.html.figures import Figure
from canary.report.html.forests import forests, levels_figure
from canary.report.html.measured import memory_figures, times_figures
from canary.report.view import View, view_of
from gateway.contracts.evaluations import Evaluation, Outcome

ASSETS = Path(__file__).parent.parent / "assets"
"""For a page that embeds `body`: `report.css`, `charts.js` with its libraries in `vendor/`, and `cases.js`."""
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "charts.js", "cases.js")
_OPEN_FLIPS = 12
"""Of one candidate and direction; the rest are folded away."""


class FlipBeside(msgspec.Struct, frozen=True, kw_only=True):
    """A flip with both answers word by word."""

    flip: Flip
    incumbent: tuple[Words, ...]
    candidate: tuple[Words, ...]


class FlipGroup(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    shown: tuple[FlipBeside, ...]
    folded: tuple[FlipBeside, ...]


def body(evaluation: Evaluation) -> str:
    """Return the report as the content of a page that has the scripts and the style of its own.

    Raises canary.judge.InconsistentRecord where the record contradicts itself.
    """
    return _body(evaluation, view_of(evaluation))


def document(evaluation: Evaluation) -> str:
    """Return the report as one file that needs nothing else: it asks for no network, and its policy allows none."""
    view = view_of(evaluation)
    scripts = [(ASSETS / name).read_text() for name in _SCRIPTS]
    return (
        _templates()
        .get_template("document.html.jinja")
        .render(
            title=f"{evaluation.model}: {view.headline.decision}",
            policy=_policy(scripts),
            style=Markup((ASSETS / "report.css").read_text()),  # noqa: S704 - a file of this package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - as above
            body=Markup(_body(evaluation, view)),  # noqa: S704 - made by a template that escapes
        )
    )


def data_block(figure: Figure) -> Markup:
    """Return the figure's data as JSON that cannot end the element it stands in."""
    return htmlsafe_json_dumps(figure.data, dumps=_json)


def _json(data: msgspec.Struct) -> str:
    return json_text(msgspec.json.encode(data).decode())


def _body(evaluation: Evaluation, view: View) -> str:
    return (
        _templates()
        .get_template("body.html.jinja")
        .render(
            evaluation=evaluation,
            created=_moment(evaluation.created_at),
            view=view,
            outcomes=tuple(Outcome),
            levels=levels_figure(evaluation, view.entered),
            forests=tuple(forests(evaluation, view.entered, view.differences)),
            times=tuple(times_figures(evaluation, view.entered)),
            memory=tuple(memory_figures(evaluation, view.entered)),
            flips=tuple((each.label, tuple(_groups(each))) for each in view.flips),
            cases=tuple(answered_cases(evaluation, view.entered)),
            digests=tuple(_digests(view)),
        )
    )


@functools.cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(data_block=data_block, cut=cut)
    return templates


def _moment(text: str) -> str:
    """Return a record's time as people read it, and what is no time as it stands."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def _shown(value: object) -> object:
    """Spell out, wherever a template prints text, what a reader could not see. What a template made is left alone."""
    return multiline(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(scripts: Sequence[str]) -> str:
    """Return a policy under which only these scripts run, so that not even a mistake in a template runs another."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _groups(flipped: FlippedCases) -> Iterator[FlipGroup]:
    for title, flips in (
        ("Incumbent right, candidate wrong", flipped.lost),
        ("Incumbent wrong, candidate right", flipped.gained),
    ):
        found = tuple(_beside(flip) for flip in flips)
        yield FlipGroup(title=title, shown=found[:_OPEN_FLIPS], folded=found[_OPEN_FLIPS:])


def _beside(flip: Flip) -> FlipBeside:
    incumbent, candidate = beside(flip.incumbent.text, flip.candidate.text)
    return FlipBeside(flip=flip, incumbent=incumbent, candidate=candidate)


def _digests(view: View) -> Iterator[tuple[str, str]]:
    for each in view.entered:
        yield f"Variant {each.label}", each.system.variant.digest
        yield f"Weights of {each.label}", each.system.variant.engine.weights_digest
        if each.system.variant.engine.adapter_digest is not None:
            yield f"Adapter of {each.label}", each.system.variant.engine.adapter_digest
