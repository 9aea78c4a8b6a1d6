"""The child processes of the supervisor: each is watched, replaced when it dies or falls silent, and stopped."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

WATCH_EVERY_S = 0.2
_RESTART_PAUSE_MAX_S = 5.0
_FIRST_SIGN_LIMIT_S = 120.0
_SIGN_LIMIT_S = 15.0
_SPARE_AFTER_S = 10.0
"""A process that has worked for so long gets a spare: not during a start, which needs the processor itself."""


@dataclass(frozen=True, slots=True)
class _Started:
    """A process, and the line to it."""

    process: subprocess.Popen[bytes]
    line: socket.socket

    def release(self) -> None:
        """Let the process begin; it has loaded its program by now, or is doing so."""
        with suppress(OSError):  # it is dead already
            self.line.send(b"\n")

    def read_signs(self) -> bool:
        """Return whether it has given signs of life since they were last read."""
        try:
            return bool(self.line.recv(65_536))
        except OSError:  # there are none
            return False

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self, deadline: float) -> None:
        """Wait for its end until a time of the monotonic clock, and kill it then."""
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.line.close()


@dataclass(slots=True)
class Child:
    """A part of the platform in a process of its own. Its standard input is a line to the supervisor: the process waits
    there for its release, gives a sign of life each second while its event loop turns, and stops when the line ends
    because the supervisor died.

    Attributes:
        has_spare: Whether a second process waits, its program loaded, to be released when the first one dies.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    fds: tuple[int, ...] = ()
    has_spare: bool = False
    failures: int = 0
    not_before: float = 0.0
    started_at: float = field(default=0.0)
    has_given_sign: bool = False
    silent_looks: int = 0
    _working: _Started | None = None
    _spare: _Started | None = None
    _spare_not_before: float = 0.0

    def start(self) -> None:
        """Take the spare, or start a process; it waits for its release."""
        self.started_at = time.monotonic()
        self._spare_not_before = self.started_at + _SPARE_AFTER_S
        self.has_given_sign, self.silent_looks = False, 0
        spare, self._spare = self._spare, None
        self._working = spare if spare is not None and spare.is_alive() else self._run()

    def release(self) -> None:
        """Let the process begin."""
        assert self._working is not None
        self._working.release()

    def watch(self) -> None:
        """Replace a dead process: at once the first time, later with growing pauses. One that is silent is killed."""
        now = time.monotonic()
        if self._working is not None and self._working.is_alive() and not self._is_silent(self._working):
            self._keep_spare(now)
            return
        if self._working is not None:
            self._note_death(self._working, now)
        if now >= self.not_before:
            self.start()
            self.release()

    def stop(self) -> None:
        """Ask the processes to end."""
        for started in (self._working, self._spare):
            if started is not None and started.is_alive():
                started.process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait for the end of the processes until a time of the monotonic clock, and kill them then."""
        for started in (self._working, self._spare):
            if started is not None:
                started.end(deadline)

    def _run(self) -> _Started:
        line, end = socket.socketpair()
        line.setblocking(False)
        with end:
            process = subprocess.Popen(self.command, stdin=end.fileno(), pass_fds=self.fds, env=self.environment)
        return _Started(process, line)

    def _is_silent(self, started: _Started) -> bool:
        """Return whether the process has given no sign of life for too long, and end it then.

        Looks are counted, not seconds: while this process is stopped, its children are as a rule stopped with it.
        """
        self.silent_looks += 1
        if started.read_signs():
            self.has_given_sign, self.silent_looks = True, 0
        limit_s = _SIGN_LIMIT_S if self.has_given_sign else _FIRST_SIGN_LIMIT_S
        if self.silent_looks * WATCH_EVERY_S < limit_s:
            return False
        _say(f"{self.name} has given no sign of life for {limit_s:g} s; ending it")
        started.process.kill()
        started.process.wait()
        return True

    def _keep_spare(self, now: float) -> None:
        if self._spare is not None and not self._spare.is_alive():
            self._spare.line.close()
            self._spare, self._spare_not_before = None, now + _SPARE_AFTER_S
        if self.has_spare and self._spare is None and now >= self._spare_not_before:
            self._spare = self._run()

    def _note_death(self, dead: _Started, now: float) -> None:
        _say(f"{self.name} ended with status {dead.process.returncode}; starting it again")
        self.failures = 0 if now - self.started_at > 10 else self.failures + 1
        pause = 0.0 if self.failures == 0 else min(0.1 * 2**self.failures, _RESTART_PAUSE_MAX_S)
        self.not_before = now + pause
        dead.line.close()
        self._working = None


def _say(line: str) -> None:
    with suppress(OSError):  # a log that is full stops nothing
        print(f"hutong: {line}", file=sys.stderr, flush=True)
