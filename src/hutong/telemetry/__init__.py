"""Structured logs with masked secrets: configured once by the composition root, used everywhere by name."""

from hutong.telemetry.logging import configure_logging, get_logger
from hutong.telemetry.masking import mask
from hutong.telemetry.rare_line import RareLine

__all__ = [
    "RareLine",
    "configure_logging",
    "get_logger",
    "mask",
]
