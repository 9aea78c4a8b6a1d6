"""Logs and metrics: set up once by the composition root, used everywhere by name."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_NAME = re.compile(
    r"authorization|api_?key|secret|password|token|private|signature|credential|ciphertext", re.IGNORECASE
)
_SECRET_VALUE = re.compile(
    r"sk_[A-Za-z0-9_]{8,}|whsec_[A-Za-z0-9+/=]{8,}|-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL
)
_CARD_NUMBER = re.compile(r"(?<!\d)\d{13,19}(?!\d)")
_MASK = "[masked]"


def mask(text: str) -> str:
    """The same text with API keys, webhook secrets, private keys and card-like numbers hidden."""
    return _CARD_NUMBER.sub(_MASK, _SECRET_VALUE.sub(_MASK, text))


def _mask_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = _MASK
        elif isinstance(value, str):
            event[name] = mask(value)
    return event


def configure_logging(*, level: str = "info", output: str = "json") -> None:
    """Send structured logs to standard error, one event a line, with secrets masked.

    Args:
        level: The least level that is written.
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(numeric, logging.WARNING), force=True)


def get_logger(name: str) -> Any:
    """The logger of a module; events are short names, everything else is a keyword."""
    return structlog.get_logger(module=name)
