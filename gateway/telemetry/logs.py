"""Set logging up, once: structlog and the standard library's through the same processors to one stream."""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.errors import StartError
from gateway.settings import LogSettings

FORBIDDEN_KEYS = frozenset(
    {"api_key", "authorization", "completion", "content", "messages", "prompt", "secret", "text"}
)


def set_up_logging(settings: LogSettings, output: TextIO | None = None) -> None:
    """Write JSON lines, or coloured ones for a terminal, to the output: standard error unless another is given.

    `log.file` goes before either. Run uvicorn with `log_config=None`, or it sets its own handlers up over these. Raises
    StartError where the file cannot be written.
    """
    stream = output if output is not None else sys.stderr
    handler = logging.StreamHandler(stream) if settings.file is None else _rotating(settings, settings.file)
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


def _rotating(settings: LogSettings, path: str) -> RotatingFileHandler:
    file = Path(path).expanduser()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(
            file, maxBytes=settings.file_max_bytes, backupCount=settings.file_count - 1, encoding="utf-8"
        )
    except OSError as error:
        raise StartError(
            f"log file {file} cannot be written ({error.strerror}): give this user the right to, or name another in"
            " log.file"
        ) from error


def _renderers(settings: LogSettings, stream: TextIO) -> list[Processor]:
    for_a_person = settings.file is None and stream.isatty()
    console = for_a_person if settings.format == "auto" else settings.format == "console"
    if console:
        # Plain: the richer traceback prints local variables, and a prompt may be among them.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
