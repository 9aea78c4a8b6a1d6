"""What one process knows of its channels, at hand: decisions never wait for the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hutong.routing.decide import choose
from hutong.routing.health import Health, HealthPolicy, Result, State, Track
from hutong.routing.model import Candidate, Decision, Draws, RoutingPolicy, RoutingRequest, Snapshot

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_AT_ALL_EVERY = timedelta(seconds=5)
_LOOK_AT_UNWELL_EVERY = timedelta(milliseconds=250)
"""Time alone changes little about an account that is well, and soon a lot about one that is not."""


@dataclass(slots=True)
class _Track:
    """One interface of an account, with what has been learnt of it."""

    whole: Track
    banks: dict[str, Track] = field(default_factory=dict)
    probed_at: datetime | None = None
    heard_at: datetime | None = None


@dataclass(slots=True)
class _Built:
    """The accounts as they were seen from one interface, and which of them have to be looked at again.

    Attributes:
        looked_at: When those that are not well were looked at.
    """

    at: datetime
    looked_at: datetime
    candidates: tuple[Candidate, ...]
    stale: set[UUID] = field(default_factory=set)


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
        fresh: Callable[[UUID, Result], None] = lambda *_: None,
    ) -> None:
        self._draw = draw
        self._health_policy = HealthPolicy()
        self._fresh = fresh
        self._unknown = Track(self._health_policy).health(_BEGINNING)
        self._candidates: dict[UUID, Candidate] = {}
        self._tracks: dict[tuple[UUID, str], _Track] = {}
        self._policies: Mapping[str, RoutingPolicy] = {"": RoutingPolicy()}
        self._pins: Mapping[str, tuple[str, datetime | None]] = {}
        self._snapshots: dict[str, _Built] = {}

    def configure(
        self,
        candidates: Iterable[Candidate],
        policies: Mapping[str, RoutingPolicy],
        pins: Mapping[str, tuple[str, datetime | None]] | None = None,
        *,
        health_policy: HealthPolicy | None = None,
    ) -> None:
        """Take a configuration; what has been learnt of accounts that stay is kept.

        Args:
            health_policy: When health changes from now on; None leaves it as it is.
            policies: By product; "" is for all others.
            pins: By product, the account's name and until when.
        """
        self._candidates = {candidate.account_id: candidate for candidate in candidates}
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] in self._candidates}
        if health_policy is not None and health_policy != self._health_policy:
            self._health_policy = health_policy
            for track in self._tracks.values():
                track.whole = track.whole.under(self._health_policy)
                track.banks = {bank: known.under(self._health_policy) for bank, known in track.banks.items()}
        self._policies = policies
        self._pins = pins or {}
        self._snapshots.clear()

    def policy(self, product: str) -> RoutingPolicy:
        """How a product is routed."""
        return self._policies.get(product) or self._policies[""]

    def decide(
        self, ask: RoutingRequest, *, over: Callable[[Snapshot], Snapshot] | None = None
    ) -> tuple[Decision, Snapshot]:
        """Choose an account, from what this process knows now.

        Args:
            over: Gives the same moment under another configuration, which is to decide.
        """
        snapshot = self.snapshot(ask.at, ask.product, ask.method)
        if over is not None:
            snapshot = over(snapshot)
        draws = Draws(self._draw(), self._draw(), self._draw(), self._draw())
        decision = choose(ask, snapshot, draws)
        if decision.chosen is not None:
            track = self._tracks.get((decision.chosen, ask.method))
            if track is not None and track.whole.health(ask.at).share < 1.0:
                track.probed_at = ask.at
                self._outdate(decision.chosen, ask.method)
        return decision, snapshot

    def snapshot(self, now: datetime, product: str = "", interface: str = "") -> Snapshot:
        """All that a decision made now would depend on."""
        built = self._snapshots.get(interface)
        if built is None or now - built.at > _LOOK_AT_ALL_EVERY:
            candidates = tuple(self._candidate(each, interface, now) for each in self._candidates.values())
            built = self._snapshots[interface] = _Built(now, now, candidates)
        elif now - built.looked_at > _LOOK_AT_UNWELL_EVERY:
            built.looked_at = now
            built.stale.update(each.account_id for each in built.candidates if not _is_well(each.health))
        if built.stale:
            built.candidates = tuple(
                self._candidate(self._candidates[each.account_id], interface, now)
                if each.account_id in built.stale
                else each
                for each in built.candidates
            )
            built.stale.clear()
        pin, until = self._pins.get(product) or self._pins.get("") or ("", None)
        return Snapshot(built.candidates, self.policy(product), pin, until)

    def learn(self, account_id: UUID, result: Result, *, shared: bool = False) -> bool:
        """Take in what an attempt told; one that says nothing new changes nothing.

        Args:
            shared: Another process has told of it, so it need not be told again.
        """
        if account_id not in self._candidates:
            return False
        key = account_id, result.interface
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(Track(self._health_policy))
        if not track.whole.learn(result):
            return False
        track.heard_at = max(result.at, track.heard_at or result.at)
        if result.institution:
            bank = track.banks.get(result.institution)
            if bank is None:
                bank = track.banks[result.institution] = Track(self._health_policy)
            bank.learn(replace(result, institution=""))
        self._outdate(account_id, result.interface)
        if not shared:
            self._fresh(account_id, result)
        return True

    def health(self, account_id: UUID, now: datetime, interface: str = "", institution: str = "") -> Health:
        """An account's health now."""
        track = self._tracks.get((account_id, interface))
        if track is None:
            return self._unknown
        return (track.banks.get(institution, track.whole) if institution else track.whole).health(now)

    def known(self) -> list[tuple[UUID, str]]:
        """The accounts and interfaces of which anything has been learnt."""
        return sorted(self._tracks)

    def idle(self, now: datetime) -> list[tuple[UUID, str]]:
        """What is to be probed and gets no traffic that could do it: a query call tells of it."""
        pause = self._health_policy.ramp_pause * 2
        return [
            key
            for key, track in self._tracks.items()
            if track.whole.health(now).state is State.PROBING
            and all(at is None or now - at > pause for at in (track.probed_at, track.heard_at))
        ]

    def _outdate(self, account_id: UUID, interface: str) -> None:
        built = self._snapshots.get(interface)
        if built is not None:
            built.stale.add(account_id)

    def _candidate(self, known: Candidate, interface: str, now: datetime) -> Candidate:
        track = self._tracks.get((known.account_id, interface))
        if track is None:
            return replace(known, health={"": self._unknown})
        whole = track.whole.health(now)
        health = {"": whole}
        for bank, results in track.banks.items():
            own = results.health(now)
            if own.state is not State.HEALTHY:
                health[bank] = own
        due = whole.state is State.PROBING and (
            track.probed_at is None or now - track.probed_at >= self._health_policy.ramp_pause
        )
        return replace(known, health=health, probe_due=due)


def _is_well(health: Mapping[str, Health]) -> bool:
    return len(health) == 1 and health[""].state is State.HEALTHY
