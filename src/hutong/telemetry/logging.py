"""Structured logs: their configuration, and the logger of each module."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from prometheus_client import Counter

from hutong.foreign_text import escape
from hutong.telemetry.masking import masked_under


def _mask_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if name not in {"_record", "_from_structlog"}:  # the standard library's record; it is not written itself
            masked = masked_under(name, value)
            event[name] = escape(masked, lines=True) if isinstance(masked, str) else masked
    return event


_LOST = Counter("hutong_log_lines_lost_total", "Lines that could not be written to the log, as on a full disk.")


class _Lines:
    """The standard error of the moment, which tests replace. A line that cannot be written is counted, and no error:
    where logs lie on a full disk, what is logged goes on."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except OSError:
            _LOST.inc()

    def flush(self) -> None:
        with suppress(OSError):  # what is kept back is written with a later line
            sys.stderr.flush()


_LINES = cast("TextIO", _Lines())


class _StandardError(logging.Handler):
    """A handler that writes lines of the standard library's loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        write_line(self.format(record))


def write_line(text: str) -> None:
    """Write a line to standard error; a full disk under it is no error."""
    print(text, file=_LINES, flush=True)


def configure_logging(*, level: str = "info", output: str = "json") -> None:
    """Send structured logs to standard error, one event per line, with secrets masked.

    Args:
        level: The lowest level that is written.
        output: "json" for machines, "console" for people.
    """
    renderer: Any = structlog.processors.JSONRenderer()
    if output == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask_event,
    ]
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=lambda *_: structlog.PrintLogger(_LINES),
        cache_logger_on_first_use=False,
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(numeric, logging.WARNING), force=True)


def get_logger(name: str) -> Any:
    """Return the logger of a module. Events are short names; everything else is a keyword."""
    return structlog.get_logger(module=name)
