"""Real PostgreSQL behind a gate: each statement waits to be chosen, and runs to its answer before anything else does.

A statement that waits for another's lock keeps waiting at the server, as it would, and is answered when that lock is
released; what the server will do next never depends on the speed of the machine.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeVar

import asyncpg
import uvloop

from hutong import db

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, Any]]

CONNECTIONS = 24

_PARENTHESES = re.compile(r"\([^()]*\)")
_LOOK_AFTER_S = 0.002
_CONNECTIONS = {
    "jit": "off",
    "timezone": "UTC",
    # Processes crash here, the server does not, so an acknowledged commit cannot be lost by this.
    "synchronous_commit": "off",
    # Who closes a circle of waiting finds out at once.
    "deadlock_timeout": "1ms",
}


class Backend:
    """The server's side: connections that outlive the simulated processes, and one that looks on."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._io = uvloop.new_event_loop()
        self.run(self._open())

    async def _open(self) -> None:
        self.eyes = await asyncpg.connect(self._url, server_settings={"jit": "off", "timezone": "UTC"})
        settings = {**_CONNECTIONS, "role": "hutong_app"}
        self._free = [
            await asyncpg.connect(self._url, server_settings=settings, statement_cache_size=1000)
            for _ in range(CONNECTIONS)
        ]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the real server."""
        return self._io.run_until_complete(work)

    async def answered(self, statement: asyncio.Task[Any], pid: int, others: set[int], blocked: set[int]) -> bool:
        """Wait until the statement is answered, or is known to wait for a lock of one of `others`."""
        while True:
            await asyncio.wait({statement}, timeout=_LOOK_AFTER_S)
            if statement.done():
                return True
            blockers = set(await self.eyes.fetchval("SELECT pg_blocking_pids($1)", pid)) & others
            if blockers and not await self._circle(pid, blockers, blocked):
                return False

    async def _circle(self, pid: int, blockers: set[int], blocked: set[int]) -> bool:
        """Whether this wait closes a circle, which the server is about to break."""
        seen: set[int] = set()
        waiting = blockers & blocked
        while waiting - seen:
            one = (waiting - seen).pop()
            seen.add(one)
            further = set(await self.eyes.fetchval("SELECT pg_blocking_pids($1)", one))
            if pid in further:
                return True
            waiting |= further & blocked
        return False

    def take(self) -> asyncpg.Connection:
        """A connection in the application's role."""
        assert self._free, "more connections are in use at once than a process would have"
        return self._free.pop()

    async def give_back(self, connection: asyncpg.Connection) -> None:
        """Undo what was not committed, as the server does when a connection ends."""
        await self.undo(connection)
        self._free.append(connection)

    async def undo(self, connection: asyncpg.Connection) -> None:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")

    async def cancel(self, statement: asyncio.Task[Any], pid: int) -> None:
        """End a statement that waits for a lock."""
        while not statement.done():
            await self.eyes.fetchval("SELECT pg_cancel_backend($1)", pid)
            await asyncio.wait({statement}, timeout=0.02)
        statement.exception()

    def close(self) -> None:
        for connection in [*self._free, self.eyes]:
            self.run(connection.close())
        self._io.close()


@dataclass(eq=False)
class Step:
    """One statement that waits to be run, or for a lock."""

    connection: Connection
    label: str
    work: Work
    answer: asyncio.Future[Any]
    writes: bool = False
    first: bool = False
    """Nothing has happened in its transaction yet."""
    held: bool = False
    """Not to be chosen before another transaction ends."""
    running: asyncio.Future[Any] | None = None


@dataclass(eq=False)
class Gate:
    """Where all processes of one simulation wait for the database."""

    backend: Backend
    rng: Random
    waiting: list[Step] = field(default_factory=list)
    blocked: list[Step] = field(default_factory=list)
    used: list[Connection] = field(default_factory=list)
    ended: list[Connection] = field(default_factory=list)
    """Connections that nobody holds any more, which the server has yet to tidy up after."""

    async def run(self, step: Step) -> list[Step]:
        """Run one statement; returns those that are answered by it: itself, unless it waits, and whom it releases."""
        self.waiting.remove(step)
        step.connection.wrote |= step.writes
        if any(other.raw.is_in_transaction() for other in self.used if other is not step.connection):
            step.running = asyncio.ensure_future(step.work())
            answered = await self._settled(step)
        else:
            # Nobody holds a lock, so nothing can wait for one.
            step.running = await _finished(step.work())
            answered = True
        if answered:
            return [step, *(await self.release() if step.label in ("COMMIT", "ROLLBACK") else [])]
        self.blocked.append(step)
        if len(self.blocked) > 1:
            # Of two that are set free together the server may let either go first. So one waits there, the others
            # here, where the seed decides.
            for other in [step, *self.blocked]:
                if other.first and other in self.blocked and len(self.blocked) > 1:
                    await self._withdraw(other)
        return []

    async def _withdraw(self, step: Step) -> None:
        """Take back the first statement of a transaction, as if it had not been chosen yet."""
        await self._cancel(step)
        await self.backend.undo(step.connection.raw)
        self.waiting.append(step)
        step.held, step.running = True, None

    async def _cancel(self, step: Step) -> None:
        assert isinstance(step.running, asyncio.Task)
        await self.backend.cancel(step.running, step.connection.pid)
        self.blocked.remove(step)

    def ready(self) -> list[Step]:
        """What may be chosen now."""
        return [step for step in self.waiting if not step.held]

    async def release(self) -> list[Step]:
        """The waiting statements that have got their lock, now that a transaction has ended."""
        for step in self.waiting:
            step.held = False
        free = [step for step in list(self.blocked) if await self._settled(step)]
        self.blocked = [step for step in self.blocked if step not in free]
        return free

    async def _settled(self, step: Step) -> bool:
        assert isinstance(step.running, asyncio.Task)
        others = {connection.pid for connection in self.used} - {step.connection.pid}
        blocked = {other.connection.pid for other in self.blocked} - {step.connection.pid}
        return await self.backend.answered(step.running, step.connection.pid, others, blocked)

    def end(self, connection: Connection) -> None:
        """Nobody holds this connection any more."""
        self.waiting = [step for step in self.waiting if step.connection is not connection]
        if not connection.closed:
            connection.closed = True
            self.ended.append(connection)

    async def tidy(self) -> list[Step]:
        """What the server does once it sees that connections have ended; returns whom that releases."""
        undone = False
        while self.ended:
            connection = self.ended.pop(0)
            for step in [step for step in self.blocked if step.connection is connection]:
                await self._cancel(step)
            undone |= connection.raw.is_in_transaction()
            self.used.remove(connection)
            await self.backend.give_back(connection.raw)
        return await self.release() if undone else []


class Pool:
    """What one process holds of the database, in the place of asyncpg's pool."""

    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        self.gate = gate
        self.loop = loop
        self.dead = False
        self.connections: list[Connection] = []

    async def acquire(self, *, timeout: float | None = None) -> Connection:
        if self.dead:
            raise asyncpg.InterfaceError("this process is dead")
        connection = Connection(self, self.gate.backend.take())
        self.connections.append(connection)
        self.gate.used.append(connection)
        return connection

    async def release(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self.gate.end(connection)

    def die(self) -> None:
        """The process is gone, and its connections with it."""
        self.dead = True
        for connection in list(self.connections):
            self.gate.end(connection)
        self.connections.clear()


class Connection:
    """What of an asyncpg connection the platform uses."""

    def __init__(self, pool: Pool, raw: asyncpg.Connection) -> None:
        self.pool = pool
        self.raw = raw
        self.pid: int = raw.get_server_pid()
        self.closed = False
        self.wrote = False
        self.begins = False

    async def step(self, label: str, work: Work, *, writes: bool = False) -> Any:
        """Wait for this statement's turn, and for its answer."""
        if self.closed or self.pool.dead:
            raise asyncpg.InterfaceError("the connection is closed")
        first, self.begins = self.begins, False
        if first:
            work = partial(self._begin, work)
        step = Step(self, label, work, self.pool.loop.create_future(), writes, first)
        self.pool.gate.waiting.append(step)
        try:
            return await step.answer
        except asyncio.CancelledError:
            self.pool.gate.end(self)
            raise

    async def _begin(self, work: Work) -> Any:
        await self.raw.execute("BEGIN")
        return await work()

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        rows = await self.step(*_told(query, lambda: self.raw.fetch(query, *args)), writes=_writes(query))
        if len(rows) > 1 and not _ordered(query):
            # SQL promises no order here, and the server's depends on what lies in the table: it is drawn instead.
            rows = sorted(rows, key=repr)
            self.pool.gate.rng.shuffle(rows)
        return rows

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None:
        return await self.step(*_told(query, lambda: self.raw.fetchrow(query, *args)), writes=_writes(query))

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self.step(*_told(query, lambda: self.raw.fetchval(query, *args)), writes=_writes(query))

    async def execute(self, query: str, *args: Any) -> str:
        return await self.step(*_told(query, lambda: self.raw.execute(query, *args)), writes=_writes(query))

    async def executemany(self, query: str, rows: Any) -> None:
        kept = list(rows)
        await self.step(*_told(query, lambda: self.raw.executemany(query, kept)), writes=True)

    def transaction(self) -> Transaction:
        return Transaction(self)

    def is_in_transaction(self) -> bool:
        return self.begins or self.raw.is_in_transaction()

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.pool.gate.end(self)


class Transaction:
    """A transaction, each of its ends a step of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(self) -> None:
        # The server does nothing before the first statement either, so the two go together.
        self._connection.wrote, self._connection.begins = False, True

    async def commit(self) -> None:
        if self._connection.begins:
            return
        await self._connection.step("COMMIT", lambda: self._connection.raw.execute("COMMIT"))

    async def rollback(self) -> None:
        if self._connection.begins:
            return
        await self._connection.step("ROLLBACK", lambda: self._connection.raw.execute("ROLLBACK"))


_NAMES: dict[str, str] = {}
_ORDERED: dict[str, bool] = {}


def name_statements(packages: Sequence[str]) -> None:
    """Let traces call statements by their names."""
    for package in packages:
        _NAMES.update({statement.text: statement.name for statement in db.statements(package)})


def _told(query: str, work: Work) -> tuple[str, Work]:
    return _NAMES.get(query) or " ".join(query.split())[:40], work


def _writes(query: str) -> bool:
    head = query.lstrip()
    while head.startswith("--"):
        head = head.partition("\n")[2].lstrip()
    return not head.upper().startswith("SELECT")


def _ordered(query: str) -> bool:
    if query not in _ORDERED:
        flat, changed = query, True
        while changed:
            shorter = _PARENTHESES.sub("", flat)
            changed, flat = shorter != flat, shorter
        _ORDERED[query] = "ORDER BY" in flat.upper()
    return _ORDERED[query]


async def _finished(work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
    """The outcome of a statement that is waited for, whichever it is."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    try:
        outcome.set_result(await work)
    except Exception as error:  # noqa: BLE001 - the one that waits for it decides
        outcome.set_exception(error)
        outcome.exception()
    return outcome
