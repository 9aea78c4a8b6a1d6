"""Runs localstripe as a program of its own, on the loopback address alone and with its state in a folder of ours.

Usage: localstripe_server.py PORT FOLDER
"""

from __future__ import annotations

import builtins
import os
import runpy
import socket
import sys
from typing import Any

PORT, FOLDER = sys.argv[1:3]
_open = builtins.open


class LoopbackSocket(socket.socket):
    """It listens on every address there is; here it gets one."""

    def __init__(self, family: int = -1, *args: Any, **options: Any) -> None:
        super().__init__(socket.AF_INET if family == socket.AF_INET6 else family, *args, **options)

    def bind(self, address: Any) -> None:
        super().bind(("127.0.0.1", address[1]))


def open_in_folder(path: Any, *args: Any, **options: Any) -> Any:
    if path == "/tmp/localstripe.pickle":
        path = os.path.join(FOLDER, "localstripe.pickle")
    return _open(path, *args, **options)


if __name__ == "__main__":
    socket.socket = LoopbackSocket  # type: ignore[misc]
    builtins.open = open_in_folder  # type: ignore[assignment]
    sys.argv = ["localstripe", "--port", PORT, "--from-scratch"]
    runpy.run_module("localstripe", run_name="__main__", alter_sys=True)
