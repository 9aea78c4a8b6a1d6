"""The end of a command by a signal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP unless it is ignored, end a command as Ctrl-C does: it stops what it has started.

    A second such signal does not disturb that. The processes that serve handle the signals themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, _end) for number in handled}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    for other in (signal.SIGINT, *_ENDING):
        if signal.getsignal(other) is not signal.SIG_IGN:
            signal.signal(other, lambda *_: None)
    sys.exit(128 + number)
