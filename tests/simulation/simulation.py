"""One simulation: a seed decides who does what when, what goes wrong, and who runs next at each step."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog.testing
from modelled_channel import ChannelWorld, ModelledAccounts, ModelledChannel, Weather
from simulated_database import Backend, Gate, Step, name_statements
from simulated_loop import SimulatedLoop
from simulated_process import START, Order, Process, SimulatedClock
from simulation_judge import BALANCES, OBSERVE, PUT_ASIDE, SET_ASIDE, TRANSFERS, Judge

from hutong.errors import Conflict, InvalidRequest, NotFound, OutcomeUnknown, Unavailable
from hutong.idempotency.errors import KeyInFlight

STEPS_MAX = 6_000
MATCHES_MAX = 60
TROUBLE_S = 150.0
"""For how long things go wrong; what is broken then must heal by itself."""

_EXPECTED = (Conflict, InvalidRequest, NotFound, Unavailable, OutcomeUnknown, ConnectionError)
_AGAIN = (Unavailable, OutcomeUnknown, ConnectionError, KeyInFlight)
_LOST = asyncpg.ConnectionDoesNotExistError


@dataclass
class Evaluation:
    """What a simulation found; equal seeds give equal traces."""

    seed: int
    problems: list[str]
    trace: list[str]


@dataclass
class Plan:
    """What goes wrong besides the channel."""

    crashes: set[int]
    cut: float
    hurry: float

    @classmethod
    def draw(cls, rng: random.Random) -> Plan:
        count = rng.choice((0, 1, 1, 2, 3))
        return cls(
            crashes={rng.randrange(2, 250) for _ in range(count)},
            cut=rng.choice((0.0, 0.0, 0.003, 0.02)),
            hurry=rng.choice((0.02, 0.15, 0.4)),
        )


class Simulation:
    """Two processes of the platform, a channel, payers and a merchant, on one database."""

    def __init__(self, seed: int, backend: Backend, names: str) -> None:
        self.seed = seed
        self.rng = random.Random(f"steps {seed}")
        self.script = random.Random(f"script {seed}")
        self.random_ids = random.Random(f"ids {seed} {names}")
        self.trace: list[str] = []
        self.steps = 0
        self.answers: dict[str, set[bytes]] = {}
        self.loop = SimulatedLoop()
        self.clock = SimulatedClock(self.loop)
        self.backend = backend
        self.gate = Gate(backend, random.Random(f"rows {seed}"))
        self.plan = Plan.draw(self.script)
        self.merchant_id, self.account_id = self._id(), self._id()
        weather, people = random.Random(f"channel {seed}"), random.Random(f"people {seed}")
        wallet, court = random.Random(f"wallet {seed}"), random.Random(f"court {seed}")
        troubles = Weather.draw(weather).with_people(people).with_coupons(wallet).with_disputes(court)
        self.channel = ChannelWorld(
            self.loop, self.clock.now, weather, troubles, self.deliver, self.note,
            people, wallet, court, self.counts, resubmits=self.script.random() < 0.8, voids=self.script.random() < 0.3,
            authorization_kept_s=self.script.choice((30.0, 70.0, 400.0)),
        )  # fmt: skip
        self.accounts = ModelledAccounts(self.account_id, ModelledChannel(self.channel))
        self.judge = Judge(self.channel, self.merchant_id, self.account_id)
        self.processes: list[Process | None] = [self._process(0), self._process(1)]
        self.sweep_timer: asyncio.TimerHandle | None = None
        self.match_timer: asyncio.TimerHandle | None = None
        self.matches = 0

    def _id(self) -> UUID:
        return UUID(int=self.random_ids.getrandbits(128))

    def counts(self, number: str) -> bool:
        """Whether a payment counts the channel's order with this number."""
        return self.judge.counts(number)

    def _process(self, place: int) -> Process:
        return Process(f"p{place}", self.loop, self.gate, self.accounts, self.clock, self.random_ids, self.merchant_id)

    def note(self, line: str) -> None:
        self.trace.append(f"{self.loop.time():.3f} {line}")

    # The run

    async def run(self) -> Evaluation:
        with _seeded(f"retries {self.seed}"), structlog.testing.capture_logs() as logs:
            self.loop.call_later(0, self._begin)
            self.loop.call_later(TROUBLE_S, self._calm)
            while await self._step():
                if self.steps >= STEPS_MAX:
                    self.judge.wrong("it does not come to rest")
                    break
            await self._end(logs)
            for process in self.processes:
                if process is not None:
                    process.die()
            await self.gate.tidy()
        await self.backend.eyes.execute(SET_ASIDE, self.judge.account_id)
        problems = self.judge.problems + self.channel.problems
        if problems:
            await self.backend.eyes.execute(PUT_ASIDE)
        return Evaluation(self.seed, problems, self.trace)

    async def _step(self) -> bool:
        """Let one thing happen; False once there is nothing left to happen."""
        self.loop.drain()
        while freed := await self.gate.tidy():
            self._hand_over(freed)
        self.steps += 1
        waiting, timer = self.gate.ready(), self.loop.next_timer()
        if not waiting and timer is None:
            return False
        soon = timer is not None and timer - self.loop.time() < 20
        crashes = self.steps in self.plan.crashes
        if waiting and not (soon and self.rng.random() < self.plan.hurry):
            step = waiting[self.rng.randrange(len(waiting))]
            await self._statement(step, crashes)
        else:
            self.loop.pass_time()
            if crashes:
                self.crash(self.rng.choice([p for p in self.processes if p is not None] or [None]))
        return True

    async def _statement(self, step: Step, crashes: bool) -> None:
        process = next(p for p in self.processes if p is not None and p.pool is step.connection.pool)
        fate = self.rng.random()
        cut = fate < self.plan.cut
        done_first = self.rng.random() < 0.5
        answered: list[Step] = []
        if not (crashes or cut) or done_first:
            answered = await self.gate.run(step)
            self.note(f"{process.name} {step.label}{'' if answered else ' waits for a lock'}")
        if step.label == "COMMIT" and step.connection.wrote and step.running is not None:
            await self.look()
        if crashes:
            self.crash(process)
        elif cut:
            self.note(f"{process.name} {step.label}: connection lost")
            self.gate.end(step.connection)
            step.answer.set_exception(_LOST("the connection was lost"))
        self._hand_over(answered)

    def _hand_over(self, answered: list[Step]) -> None:
        """Give tasks the answers that they wait for, one after the other."""
        for step in answered:
            assert step.running is not None
            if step.answer.done() or step.connection.closed:
                continue
            if (error := step.running.exception()) is not None:
                step.answer.set_exception(error)
            else:
                step.answer.set_result(step.running.result())
            self.loop.drain()

    def crash(self, process: Process | None) -> None:
        """Throw a process away and start a new one a little later."""
        if process is None:
            return
        place = self.processes.index(process)
        self.note(f"{process.name} crashes")
        self.processes[place] = None
        process.die()

        def revive() -> None:
            self.note(f"p{place} starts")
            self.processes[place] = self._process(place)
            self.plan_sweep()

        self.loop.call_later(self.rng.choice((0.1, self.rng.uniform(0, 30))), revive)

    async def look(self) -> None:
        """See what is committed now, as an outsider sees it."""
        self.judge.look(await self.backend.eyes.fetchval(OBSERVE, self.merchant_id))
        self.plan_sweep()

    # The worker

    def plan_sweep(self) -> None:
        if self.judge.waits() and self.match_timer is None and self.matches < MATCHES_MAX:
            self.match_timer = self.loop.call_later(60, self._match)
        due = [when for kind in ("payments", "refunds") if (when := self.judge.due_at(kind))]
        if not due:
            return
        when = max((min(due) - START).total_seconds(), self.loop.time()) + self.rng.uniform(0, 1.5)
        if self.sweep_timer is not None:
            self.sweep_timer.cancel()
        self.sweep_timer = self.loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        free = [p for p in self.processes if p is not None and not p.sweeping]
        self.rng.shuffle(free)
        now = self.clock.now()
        due = [kind for kind in ("payments", "refunds") if (when := self.judge.due_at(kind)) and when <= now]
        for process in free[: self.rng.choice((1, 1, 1, 2)) if due else 0]:
            self.note(f"{process.name} sweeps {' and '.join(due)}")
            self._watch(process.spawn(process.sweep(due)), "sweep")
        self.plan_sweep()

    def _match(self) -> None:
        """What did not fit when it was reported is tried again every minute."""
        self.match_timer, self.matches = None, self.matches + 1
        free = [p for p in self.processes if p is not None]
        if free:
            process = self.rng.choice(free)
            self.note(f"{process.name} matches exceptions")
            self._watch(process.spawn(process.lifecycle.match_exceptions()), "matching")
        self.plan_sweep()

    # Requests from outside

    def deliver(self, headers: Mapping[str, str], body: bytes, done: Callable[[bool], None]) -> None:
        """The channel posts a notification."""

        async def post() -> None:
            try:
                answer = await self.request(lambda p: p.lifecycle.notify(self.account_id, headers, body))
            except _EXPECTED as error:
                self.note(f"notification refused: {type(error).__name__}")
                done(False)
            else:
                done(answer.status == 204)

        self._watch(self.loop.create_task(post()), "notification")

    async def request(self, work: Callable[[Process], Coroutine[Any, Any, Any]]) -> Any:
        """Have one process, whichever, do something; its death or silence is a lost connection."""
        alive = [process for process in self.processes if process is not None]
        if not alive:
            raise ConnectionError("nobody is there")
        process = self.rng.choice(alive)
        task = process.spawn(work(process))
        patience = self.rng.choice((None, None, None, self.rng.uniform(0.1, 15)))
        done, _ = await asyncio.wait({task}, timeout=patience)
        if not done or task.cancelled():
            task.add_done_callback(_forget)
            raise ConnectionError("no answer")
        return task.result()

    def _watch(self, task: asyncio.Task[Any], what: str) -> None:
        def look(done: asyncio.Task[Any]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None and not isinstance(error, _EXPECTED):
                self.judge.wrong(f"{what} ended with {error!r}")

        task.add_done_callback(look)

    # The merchant

    def _begin(self) -> None:
        for number in range(self.script.choice((1, 1, 2))):
            validity = self.script.choice((61, 61, 90, 140))
            manual = self.script.random() < 0.3
            order = Order(
                f"order-{number}",
                self.script.randrange(10, 100_000),
                self.clock.now() + timedelta(seconds=validity),
                ("card", "card_other") if manual else ("qr", "qr_other"),
                self.script.random() < 0.8,
                manual,
            )
            begin = self.script.uniform(0, 2)
            for _ in range(self.script.choice((1, 1, 2))):
                self.later(begin + self.script.uniform(0, 0.05), self._place(order))
            for _ in range(self.script.choice((0, 1, 2, 3))):
                self.later(begin + self._moment(validity), self._act(order))
            for _ in range(self.script.choice((2, 3)) if manual else 0):
                self.later(begin + self.script.choice((8, 30, 60)) + self.script.uniform(0, 2), self._capture(order))
            refunds = self.script.choice((0, 1, 2, 3))
            together = self.script.choice((15, 40, 70))
            for count in range(refunds):
                amount = self.script.choice(
                    (None, order.amount_minor // 2, self.script.randrange(1, 10 + order.amount_minor))
                )
                for _ in range(self.script.choice((1, 1, 2))):
                    after = begin + together + self.script.uniform(0, 1.5)
                    self.later(after, self._refund(order, f"{order.number}-refund-{count}", amount))

    def _moment(self, validity: int) -> float:
        """Things happen together: soon after the start, or around the end."""
        return self.script.choice(
            (self.script.uniform(0, 3), self.script.uniform(0, 20), max(0.0, validity + self.script.uniform(-4, 4)))
        )

    def later(self, delay: float, work: Coroutine[Any, Any, Any]) -> None:
        async def wait() -> None:
            await asyncio.sleep(delay)
            await work

        self._watch(self.loop.create_task(wait()), "merchant")

    async def _ask(
        self, what: str, key: str, work: Callable[[Process], Coroutine[Any, Any, tuple[int, bytes]]]
    ) -> None:
        """Ask until there is an answer, under the same key."""
        for _ in range(8):
            try:
                status, body = await self.request(work)
            except _AGAIN as error:
                self.note(f"merchant {what}: {type(error).__name__}")
                await asyncio.sleep(self.script.uniform(0.3, 40))
            else:
                self.note(f"merchant {what}: {status}")
                if status < 400:
                    self.answers.setdefault(key, set()).add(body)
                return

    async def _place(self, order: Order) -> None:
        await self._ask(f"places {order.number}", order.number, lambda p: p.place(order))

    async def _refund(self, order: Order, number: str, amount_minor: int | None) -> None:
        fee = self.script.random() < 0.7
        for _ in range(self.script.choice((1, 3))):
            try:
                await self._ask(f"refunds {number}", number, lambda p: p.refund(order, number, amount_minor, fee=fee))
            except (Conflict, InvalidRequest, NotFound) as error:
                self.note(f"merchant refunds {number}: {error.code}")
                if error.code != "payment_not_refundable":
                    return
                await asyncio.sleep(self.script.uniform(5, 40))

    async def _capture(self, order: Order) -> None:
        amount = self.script.choice((None, None, order.amount_minor // 2))
        await self._do(f"captures {amount} of {order.number}", lambda p: p.capture(order, amount))

    async def _act(self, order: Order) -> None:
        what = self.script.choice((*order.methods, order.methods[0], "close", "close", "tidy"))

        async def do(process: Process) -> None:
            if what == "tidy":
                await process.lifecycle.tidy()
            elif what == "close":
                await process.close(order)
            else:
                await process.start(order, what)

        await self._do(f"{what} {order.number}", do)

    async def _do(self, what: str, work: Callable[[Process], Coroutine[Any, Any, Any]]) -> None:
        try:
            await self.request(work)
        except _EXPECTED as error:
            self.note(f"merchant {what}: {type(error).__name__}")
        else:
            self.note(f"merchant {what}: done")

    # The end

    def _calm(self) -> None:
        """From now on nothing new goes wrong."""
        self.note("calm")
        self.channel.weather = Weather.fine()
        self.plan = Plan(set(), 0.0, self.plan.hurry)

    async def _end(self, logs: list[Any]) -> None:
        judge = self.judge
        await self.look()
        transfers = await self.backend.eyes.fetch(TRANSFERS, judge.accounts())
        balances = await self.backend.eyes.fetch(BALANCES, judge.accounts())
        judge.rest(transfers, balances)
        for key, bodies in self.answers.items():
            if len(bodies) != 1:
                judge.wrong(f"{key} was answered in {len(bodies)} ways")
        for error in self.loop.errors:
            judge.wrong(error)
        for entry in logs:
            if entry["event"] == "resolve_failed" and not entry["reason"].startswith(_HARMLESS):
                judge.wrong(f"a sweep met {entry['reason']}")
        self.trace += [f"end {rows}" for rows in judge.state.items()]
        self.trace += [f"end {tuple(row)}" for row in transfers]


_HARMLESS = ("Unavailable(", "OutcomeUnknown(")


@contextlib.contextmanager
def _seeded(seed: str) -> Iterator[None]:
    """The machine's own source of random numbers, which spreads retries, is an input as well."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def simulate(seed: int, backend: Backend, *, names: str = "") -> Evaluation:
    """Run one seed to its end.

    Args:
        names: Gives everything another id, so that the seed can be run again in the same database.
    """
    return backend.run(Simulation(seed, backend, names).run())


@contextlib.contextmanager
def open_backend(url: str) -> Iterator[Backend]:
    """The database for any number of simulations."""
    name_statements([f"hutong.{package}" for package in ("payments", "ledger", "events", "idempotency", "channels")])
    backend = Backend(url)
    try:
        yield backend
    finally:
        backend.close()
