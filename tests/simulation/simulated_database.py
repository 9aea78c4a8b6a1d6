"""Real PostgreSQL behind a gate: each statement waits to be chosen, and runs to its answer before anything else does.

A statement that waits for another's lock keeps waiting at the server, as it would, and is answered when that lock is
released; what the server will do next never depends on the speed of the machine.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import asyncpg
import uvloop

from hutong import db

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, Any]]
Waits = dict[int, set[int]]
"""For whom each waiting connection waits; nothing for those that wait at the server, which is asked."""

CONNECTIONS = 24

_PARENTHESES = re.compile(r"\([^()]*\)")
_LOOK_AFTER_S = 0.002
_LOOKS_MAX = 5_000
_CONNECTIONS = {
    "jit": "off",
    "timezone": "UTC",
    # Processes crash here, the server does not, so an acknowledged commit cannot be lost by this.
    "synchronous_commit": "off",
    # A circle of waiting is found and broken here, for which of them the server picks depends on the machine's speed.
    "deadlock_timeout": "1h",
}


class Backend:
    """The server's side: connections that outlive the simulated processes, and one that looks on."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._io = uvloop.new_event_loop()
        self.run(self._open())

    async def _open(self) -> None:
        self.eyes = await asyncpg.connect(self._url, server_settings={"jit": "off", "timezone": "UTC"})
        settings = {**_CONNECTIONS, "role": "hutong_console"}
        self._free = [
            await asyncpg.connect(self._url, server_settings=settings, statement_cache_size=1000)
            for _ in range(CONNECTIONS)
        ]
        for connection in self._free:
            await connection.execute("BEGIN")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the real server."""
        return self._io.run_until_complete(work)

    async def answered(self, statement: asyncio.Task[Any], pid: int, others: set[int], waits: Waits) -> set[int]:
        """Wait until the statement is answered, or waits for locks of some of `others`; return those."""
        for _ in range(_LOOKS_MAX):
            await asyncio.wait({statement}, timeout=_LOOK_AFTER_S)
            if statement.done():
                return set()
            blockers = set(await self.eyes.fetchval("SELECT pg_blocking_pids($1)", pid)) & others
            if blockers and await self._circle(pid, blockers, waits):
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            if blockers:
                return blockers
        raise AssertionError("a statement gets no answer, and nobody of ours is in its way")

    async def _circle(self, pid: int, blockers: set[int], waits: Waits) -> bool:
        """Whether this wait closes a circle."""
        seen: set[int] = set()
        waiting = blockers & waits.keys()
        while waiting - seen:
            one = (waiting - seen).pop()
            seen.add(one)
            further = waits[one] or set(await self.eyes.fetchval("SELECT pg_blocking_pids($1)", one))
            if pid in further:
                return True
            waiting |= further & waits.keys()
        return False

    def take(self) -> asyncpg.Connection:
        """A connection in the application's role."""
        assert self._free, "more connections are in use at once than a process would have"
        return self._free.pop()

    async def give_back(self, connection: Connection) -> None:
        """Undo what was not committed, as the server does when a connection ends."""
        await self.undo(connection)
        self._free.append(connection.raw)

    async def undo(self, connection: Connection) -> None:
        if not connection.raw.is_in_transaction():
            await connection.raw.execute("BEGIN")
        elif connection.holds:
            await connection.raw.execute("ROLLBACK AND CHAIN")
        connection.holds = False

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
    reads: bool = False
    """Takes no lock and writes nothing."""
    finds: bool = False
    """Takes a lock and writes on what it finds, so nothing if it finds nothing."""
    first: bool = False
    """Its transaction has written nothing and holds nothing yet."""
    held: bool = False
    """Not to be chosen before another transaction ends."""
    waits_for: set[int] = field(default_factory=set)
    """Whose locks it waits for while it is held."""
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
        connection = step.connection
        step.first, step.waits_for = not connection.holds, set()
        if not step.reads and any(other.holds for other in self.used if other is not connection):
            saved = bool(self.blocked) and not step.first and step.label not in _ENDS
            if saved:
                await connection.raw.execute("SAVEPOINT before")
            step.running = asyncio.ensure_future(step.work())
            blockers = await self._blockers(step)
            if not blockers and saved and step.running.exception() is None:
                await connection.raw.execute("RELEASE before")
        else:
            # Nobody holds a lock, so nothing can wait for one.
            step.running, blockers = await _finished(step.work()), set()
        if not blockers:
            _note_effect(step)
            return [step, *(await self.release() if step.label in _ENDS else [])]
        self.blocked.append(step)
        if len(self.blocked) > 1:
            # Of two that are set free together the server may let either go first. So one waits there, the others
            # here, where the seed decides.
            await self._withdraw(step, blockers)
        return []

    async def _withdraw(self, step: Step, blockers: set[int]) -> None:
        """Take back a statement, as if it had not been chosen yet."""
        await self._cancel(step)
        if step.first:
            step.connection.holds = True
            await self.backend.undo(step.connection)
        else:
            await step.connection.raw.execute("ROLLBACK TO before")
            step.waits_for = blockers
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
        free = [step for step in list(self.blocked) if not await self._blockers(step)]
        for step in free:
            _note_effect(step)
        self.blocked = [step for step in self.blocked if step not in free]
        return free

    async def _blockers(self, step: Step) -> set[int]:
        """Wait for a statement's answer; return whose locks it waits for if it gets none."""
        assert isinstance(step.running, asyncio.Task)
        pid = step.connection.pid
        others = {connection.pid for connection in self.used} - {pid}
        waits: Waits = {each.connection.pid: set() for each in self.blocked if each is not step}
        waits |= {each.connection.pid: each.waits_for for each in self.waiting if each.held and each.waits_for}
        try:
            return await self.backend.answered(step.running, pid, others, waits)
        except asyncpg.DeadlockDetectedError as error:
            await self.backend.cancel(step.running, step.connection.pid)
            broken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            broken.set_exception(error)
            broken.exception()
            step.running = broken
            return set()

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
                connection.holds = True
            undone |= connection.holds
            self.used.remove(connection)
            await self.backend.give_back(connection)
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

    async def release(self, connection: Connection, *, timeout: float | None = None) -> None:
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
        self.opened_at = math.inf
        self.closed = False
        self.active = False
        self.holds = False
        self.wrote = False

    async def step(self, label: str, work: Work, *, reads: bool = False, finds: bool = False) -> Any:
        """Wait for this statement's turn, and for its answer."""
        if self.closed or self.pool.dead:
            raise asyncpg.InterfaceError("the connection is closed")
        step = Step(self, label, work, self.pool.loop.create_future(), reads, finds)
        self.pool.gate.waiting.append(step)
        try:
            return await step.answer
        except asyncio.CancelledError:
            self.pool.gate.end(self)
            raise

    async def _run(self, query: str, work: Work) -> Any:
        name = _NAMES.get(query) or " ".join(query.split())[:40]
        return await self.step(name, work, **_kind(query))

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        rows = await self._run(query, lambda: self.raw.fetch(query, *args))
        if len(rows) > 1 and not _ordered(query):
            # SQL promises no order here, and the server's depends on what lies in the table: it is drawn instead.
            rows = sorted(rows, key=repr)
            self.pool.gate.rng.shuffle(rows)
        return rows

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None:
        return await self._run(query, lambda: self.raw.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self._run(query, lambda: self.raw.fetchval(query, *args))

    async def execute(self, query: str, *args: Any) -> str:
        return await self._run(query, lambda: self.raw.execute(query, *args))

    def transaction(self) -> Transaction:
        return Transaction(self)

    def is_in_transaction(self) -> bool:
        return self.active

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.pool.gate.end(self)


class Transaction:
    """A transaction. Its end is a step of its own, unless it has done nothing that others could notice.

    The server begins the next transaction together with the end of the one before; it holds nothing until its first
    statement, so nobody can tell, and a trip is saved.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(self) -> None:
        self._connection.active, self._connection.wrote = True, False

    async def commit(self) -> None:
        await self._end("COMMIT")

    async def rollback(self) -> None:
        await self._end("ROLLBACK")

    async def _end(self, how: str) -> None:
        connection = self._connection
        connection.active = False
        if connection.holds:
            await connection.step(how, lambda: connection.raw.execute(f"{how} AND CHAIN"))


_ENDS = ("COMMIT", "ROLLBACK")
_NAMES: dict[str, str] = {}
_ORDERED: dict[str, bool] = {}
_KINDS: dict[str, dict[str, bool]] = {}


def name_statements(packages: Sequence[str]) -> None:
    """Let traces call statements by their names."""
    for package in packages:
        _NAMES.update({statement.text: statement.name for statement in db.load_statements(package)})


def _note_effect(step: Step) -> None:
    """What an answered statement has left behind on its connection."""
    assert step.running is not None
    connection, failed = step.connection, step.running.exception() is not None
    if step.label in _ENDS and not failed:
        connection.holds = False
    elif failed:
        connection.holds = True
    elif not step.reads and not (step.finds and step.running.result() == []):
        connection.holds = connection.wrote = True


def _kind(query: str) -> dict[str, bool]:
    if query not in _KINDS:
        text = "\n".join(line for line in query.splitlines() if not line.lstrip().startswith("--")).strip().upper()
        loud = ("FOR UPDATE", "FOR NO KEY", "FOR SHARE", "LEDGER.ACQUIRE", "PG_ADVISORY", "SET_CONFIG")
        reads = text.startswith("SELECT") and not any(part in text for part in loud)
        finds = text.startswith("UPDATE") or (text.startswith("SELECT") and "FOR UPDATE" in text)
        _KINDS[query] = {"reads": reads, "finds": finds}
    return _KINDS[query]


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
