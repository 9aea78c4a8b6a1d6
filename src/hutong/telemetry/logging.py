"""Structured logs: their configuration, and the logger of each module."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from hutong.foreign_text import escape
from hutong.telemetry.masking import masked_under


def _mask_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if name not in {"_record", "_from_structlog"}:  # the standard library's record; it is not written itself
            masked = masked_under(name, value)
            event[name] = escape(masked, lines=True) if isinstance(masked, str) else masked
    return event


class _Lines:
    """Writes lines to the standard error of the moment, which tests replace.

    A line that cannot be written, as on a disk that is full, is lost: the work that it is about goes on.
    """

    def msg(self, line: str) -> None:
        """Write one line."""
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    debug = info = warning = error = critical = msg


class _StandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _Lines().msg(self.format(record))


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
        logger_factory=lambda *_: _Lines(),
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
    logging.getLogger("asyncpg").setLevel(logging.ERROR)  # it warns of each vain attempt to connect, as we do


def get_logger(name: str) -> Any:
    """Return the logger of a module. Events are short names; everything else is a keyword."""
    return structlog.get_logger(module=name)
