"""Set logging up, once: structlog and the standard library's through the same processors to one stream."""

import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.settings import LogSettings

FORBIDDEN_KEYS = frozenset(
    {"api_key", "authorization", "completion", "content", "messages", "prompt", "secret", "text"}
)


def set_up_logging(settings: LogSettings, output: TextIO | None = None) -> None:
    """Write JSON lines, or coloured ones for a terminal, to the output: standard error unless another is given.

    Run uvicorn with `log_config=None`, or it sets its own handlers up over these.
    """
    stream = output if output is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_forbidden_keys,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    # The canonical line of each request is the access log.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


def drop_forbidden_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out what must never be logged, however deep it lies. Nobody logs it on purpose: this is the belt."""
    return cast("EventDict", _without_forbidden(event))


def _without_forbidden(value: object) -> object:
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {key: _without_forbidden(part) for key, part in items if str(key).lower() not in FORBIDDEN_KEYS}
    if isinstance(value, (list, tuple)):
        return [_without_forbidden(part) for part in cast("list[object]", value)]
    return value


def _renderers(settings: LogSettings, stream: TextIO) -> list[Processor]:
    console = stream.isatty() if settings.format == "auto" else settings.format == "console"
    if console:
        # Plain: the richer traceback prints local variables, and a prompt may be among them.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
