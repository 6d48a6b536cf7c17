"""Jinja as the console uses it: everything escaped, what a template names must exist."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig
from markupsafe import Markup, escape

from gateway.api.auth import visitor_of
from gateway.api.console import assets
from gateway.api.console.picture import engine_name
from gateway.settings import GIB, MIB

TEMPLATES = Path(__file__).parent / "templates"
NAVIGATION = (
    ("/", "Overview"),
    ("/evaluations", "Evaluations"),
    ("/history", "History"),
    ("/playground", "Playground"),
    ("/requests", "Requests"),
)
_TICKED = re.compile("`([^`]+)`")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def template_config() -> TemplateConfig[JinjaTemplateEngine]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "duration": duration,
        "engine_name": engine_name,
        "moment": moment,
        "seconds": seconds,
        "size": size,
        "ticked": ticked,
    }
    environment.filters.update(filters)
    names: dict[str, Any] = {"visitor_of": visitor_of, "asset": assets.url, "navigation": NAVIGATION}
    environment.globals.update(names)
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment))


def duration(value_s: float) -> str:
    """Return a span of time in its largest unit that is at least one."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if value_s >= unit_s:
            return f"{value_s / unit_s:.1f} {unit}"
    return f"{value_s:.0f} s"


def size(count_bytes: int) -> str:
    """Return bytes in the unit that leaves digits to read."""
    return f"{count_bytes / GIB:.2f} GiB" if count_bytes >= GIB else f"{count_bytes / MIB:.0f} MiB"


def seconds(value_s: float | None) -> str:
    """Return a latency in the unit that people speak of it."""
    if value_s is None:
        return "-"
    return f"{value_s * 1000:.0f} ms" if value_s < 1 else f"{value_s:.2f} s"


def ticked(message: str) -> Markup:
    """Return an error's words as a page shows them: escaped, and as code what stands between backticks."""
    return Markup(_TICKED.sub(r"<code>\1</code>", str(escape(message))))  # noqa: S704 - escaped before


def moment(rfc3339: str) -> str:
    """Return a time of the registry as people read it, in UTC."""
    return datetime.fromisoformat(rfc3339).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
