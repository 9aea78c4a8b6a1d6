"""The running platform for races."""

from __future__ import annotations

from support.running_platform import platform_api

__all__ = ["platform_api"]
