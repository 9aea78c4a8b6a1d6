"""What one process knows of its channels, at hand: decisions never wait for the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from hutong.routing.choose import choose
from hutong.routing.health import Health, HealthPolicy, Result, State, Track
from hutong.routing.model import Ask, Candidate, Decision, Draws, Policy, Snapshot

_SNAPSHOT_LIFE = timedelta(milliseconds=250)


@dataclass(slots=True)
class _Line:
    """One account with what has been learnt of it."""

    candidate: Candidate
    whole: Track
    banks: dict[str, Track] = field(default_factory=dict)
    probed_at: datetime | None = None
    taken_minor: int = 0


class Router:
    """The routing of one process.

    Args:
        draw: Gives numbers in [0, 1).
        fresh: Told of each result that says something new, to be shared with other processes.
    """

    def __init__(
        self,
        draw: Callable[[], float],
        *,
        health_policy: HealthPolicy | None = None,
        fresh: Callable[[UUID, Result], None] = lambda *_: None,
    ) -> None:
        self._draw = draw
        self._health_policy = health_policy or HealthPolicy()
        self._fresh = fresh
        self._lines: dict[UUID, _Line] = {}
        self._policies: dict[str, Policy] = {"": Policy()}
        self._pins: dict[str, tuple[str, datetime | None]] = {}
        self._snapshot: tuple[Candidate, ...] | None = None
        self._built_at: datetime | None = None

    def configure(
        self,
        candidates: Iterable[Candidate],
        policies: dict[str, Policy],
        pins: dict[str, tuple[str, datetime | None]] | None = None,
    ) -> None:
        """Take a configuration; what has been learnt of accounts that stay is kept.

        Args:
            policies: By product; "" is for all others.
            pins: By product, the account's name and until when.
        """
        old = self._lines
        self._lines = {}
        for candidate in candidates:
            known = old.get(candidate.account_id)
            line = known or _Line(candidate, Track(self._health_policy))
            line.candidate, line.taken_minor = candidate, 0
            self._lines[candidate.account_id] = line
        self._policies = policies
        self._pins = pins or {}
        self._snapshot = None

    def decide(self, ask: Ask) -> tuple[Decision, Snapshot]:
        """Choose an account, from what this process knows now."""
        snapshot = self.snapshot(ask.at, ask.product)
        draws = Draws(self._draw(), self._draw(), self._draw(), self._draw())
        decision = choose(ask, snapshot, draws)
        if decision.chosen is not None:
            line = self._lines[decision.chosen]
            line.taken_minor += ask.amount_minor
            if line.whole.health(ask.at).share < 1.0:
                line.probed_at, self._snapshot = ask.at, None
        return decision, snapshot

    def snapshot(self, now: datetime, product: str = "") -> Snapshot:
        """All that a decision made now would depend on."""
        if self._snapshot is None or self._built_at is None or now - self._built_at > _SNAPSHOT_LIFE:
            self._snapshot = tuple(self._candidate(line, now) for line in self._lines.values())
            self._built_at = now
        policy = self._policies.get(product) or self._policies[""]
        pin, until = self._pins.get(product) or self._pins.get("") or ("", None)
        return Snapshot(self._snapshot, policy, pin, until)

    def learn(self, account_id: UUID, result: Result, *, shared: bool = False) -> bool:
        """Take in what an attempt told; one that says nothing new changes nothing.

        Args:
            shared: Another process has told of it, so it need not be told again.
        """
        line = self._lines.get(account_id)
        if line is None or not line.whole.learn(result):
            return False
        if result.institution:
            track = line.banks.get(result.institution)
            if track is None:
                track = line.banks[result.institution] = Track(self._health_policy)
            track.learn(replace(result, institution=""))
        self._snapshot = None
        if not shared:
            self._fresh(account_id, result)
        return True

    def health(self, account_id: UUID, now: datetime, institution: str = "") -> Health:
        """An account's health now."""
        line = self._lines[account_id]
        track = line.banks.get(institution) if institution else line.whole
        return (track or line.whole).health(now)

    def idle(self, now: datetime) -> list[UUID]:
        """Accounts that are to be probed and get no traffic that could do it: a query call tells of them."""
        pause = self._health_policy.ramp_pause * 2
        return [
            line.candidate.account_id
            for line in self._lines.values()
            if line.whole.health(now).state is State.PROBING
            and (line.probed_at is None or now - line.probed_at > pause)
        ]

    def _candidate(self, line: _Line, now: datetime) -> Candidate:
        whole = line.whole.health(now)
        health = {"": whole}
        for bank, track in line.banks.items():
            own = track.health(now)
            if own.state is not State.HEALTHY:
                health[bank] = own
        due = whole.state is State.PROBING and (
            line.probed_at is None or now - line.probed_at >= self._health_policy.ramp_pause
        )
        known = line.candidate
        return replace(known, health=health, probe_due=due, month_minor=known.month_minor + line.taken_minor)
