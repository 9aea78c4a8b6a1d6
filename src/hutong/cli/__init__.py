"""The command line: `hutong …`."""

from hutong.cli.main import main

__all__ = [
    "main",
]
