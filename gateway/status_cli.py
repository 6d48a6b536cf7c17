"""`gateway status` and `gateway engines`: ask a running gateway, and show the answer to a person or to a script."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.asking import ask, decoded, gateway_option
from gateway.contracts.admin import BreakerState, EngineView
from gateway.contracts.digests import short
from gateway.contracts.status import StatusView

Form = Literal["table", "json"]

_GIB = 1024**3
_PLAIN_WIDTH = 160
"""Columns of a table that goes to a file or a pipe."""
_UNIT_S = (("d", 86400), ("h", 3600), ("min", 60))

form_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For a person or for a script.",
)


@click.command("engines")
@gateway_option
@form_option
def engines_command(url: str, form: Form) -> None:
    """Show the loaded engines: since when, memory, rows, queue, restarts."""
    body = ask(url, "/admin/engines")
    engines = decoded(body, tuple[EngineView, ...], url)
    _show(body, form, lambda: [_engines(engines)] if engines else ["No engine is loaded."])


@click.command("status")
@gateway_option
@form_option
def status_command(url: str, form: Form) -> None:
    """Show what is served, what is loaded, and how full the machine is."""
    body = ask(url, "/admin/status")
    status = decoded(body, StatusView, url)
    _show(body, form, lambda: _status(status))


def _show(body: bytes, form: Form, parts: Callable[[], Sequence[Table | str]]) -> None:
    if form == "json":
        click.echo(msgspec.json.format(body, indent=2))
        return
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    for part in parts():
        console.print(part, markup=False)


def _status(status: StatusView) -> Sequence[Table | str]:
    memory = status.memory
    waiting = ", ".join(f"{count} {name}" for name, count in status.queued.items() if count) or "none"
    return [
        f"{'' if status.ready else 'NOT READY: '}{status.detail} (pid {status.pid}, up {_duration(status.uptime_s)})",
        f"requests: {status.running} running; waiting: {waiting}",
        f"memory: {_gib(memory.planned_bytes)} planned and {_gib(memory.used_bytes)} used of {_gib(memory.limit_bytes)}"
        f", {_gib(memory.reserve_bytes)} of it kept free; {_gib(memory.available_bytes)} available"
        f"{'; NEAR THE LIMIT' if memory.near_limit else ''}",
        _table(
            ("model", "incumbent", "revision", "engine", "state"),
            (
                (
                    each.model,
                    each.incumbent,
                    str(each.revision),
                    short(each.engine_digest),
                    "changing" if each.changing else each.problem or ("on demand" if each.on_demand else "ready"),
                )
                for each in status.deployments
            ),
            title="Deployments",
        ),
        _engines(status.engines) if status.engines else "No engine is loaded.",
    ]


def _engines(engines: Iterable[EngineView]) -> Table:
    header = ("engine", "variants", "state", "up", "rows", "queued", "active", "peak", "footprint", "predicted")
    return _table(
        (*header, "restarts", "detail"),
        (
            (
                short(engine.engine_digest),
                ", ".join(engine.variants),
                engine.state,
                _duration(engine.uptime_s),
                f"{engine.rows}/{engine.max_rows}",
                str(engine.queued),
                _gib(engine.memory.active_bytes),
                _gib(engine.memory.peak_bytes),
                _gib(engine.memory.footprint_bytes),
                _gib(engine.predicted_bytes),
                str(engine.restarts),
                _detail(engine),
            )
            for engine in engines
        ),
        title="Engines",
    )


def _detail(engine: EngineView) -> str:
    breaker = f"breaker {engine.breaker.replace('_', ' ')}" if engine.breaker is not BreakerState.CLOSED else ""
    failure = f"last failure: {engine.last_failure}" if engine.last_failure is not None else ""
    return "; ".join(filter(None, (breaker, failure, engine.detail)))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # text, because a name or an engine's last words may look like markup
    return table


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.2f} GiB"


def _duration(seconds: float) -> str:
    for unit, length_s in _UNIT_S:
        if seconds >= length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.0f} s"
