"""Routing within one process, from the results it knows of: a decision never waits for the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hutong.routing.decide import decide
from hutong.routing.health import AccountHealth, AttemptResult, HealthPolicy, HealthState, Track
from hutong.routing.model import Candidate, Draws, RoutingDecision, RoutingPolicy, RoutingRequest, Snapshot

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REFRESH_ALL_EVERY = timedelta(seconds=5)
_REFRESH_UNWELL_EVERY = timedelta(milliseconds=250)
"""Time alone changes little about an account that is well, and soon a lot about one that is not."""


@dataclass(slots=True)
class _InterfaceTracks:
    """The results of one interface of an account.

    Attributes:
        probed_at: When it last got a payment while its share was below 1.
        result_at: The time of the latest result.
    """

    overall: Track
    banks: dict[str, Track] = field(default_factory=dict)
    probed_at: datetime | None = None
    result_at: datetime | None = None


@dataclass(slots=True)
class _CachedCandidates:
    """The candidates for one interface, and which of them have to be refreshed.

    Attributes:
        unwell_at: When those that are not well were last refreshed.
    """

    at: datetime
    unwell_at: datetime
    candidates: tuple[Candidate, ...]
    stale: set[UUID] = field(default_factory=set)


class Router:
    """The routing of one process.

    Args:
        draw: Returns numbers in [0, 1).
        on_new_result: Called with each result of this process that is new, to share it with other processes.
    """

    def __init__(
        self,
        draw: Callable[[], float],
        *,
        on_new_result: Callable[[UUID, AttemptResult], None] = lambda *_: None,
    ) -> None:
        self._draw = draw
        self._health_policy = HealthPolicy()
        self._on_new_result = on_new_result
        self._without_results = Track(self._health_policy).health(_EPOCH)
        self._candidates: dict[UUID, Candidate] = {}
        self._tracks: dict[tuple[UUID, str], _InterfaceTracks] = {}
        self._policies: Mapping[str, RoutingPolicy] = {"": RoutingPolicy()}
        self._pins: Mapping[str, tuple[str, datetime | None]] = {}
        self._cache: dict[str, _CachedCandidates] = {}

    def configure(
        self,
        candidates: Iterable[Candidate],
        policies: Mapping[str, RoutingPolicy],
        pins: Mapping[str, tuple[str, datetime | None]] | None = None,
        *,
        health_policy: HealthPolicy | None = None,
    ) -> None:
        """Take over a configuration; the results of accounts that stay are kept.

        Args:
            health_policy: How health changes from now on; None leaves it unchanged.
            policies: By product; "" is for all others.
            pins: By product, the account's name and the end of the pin.
        """
        self._candidates = {candidate.account_id: candidate for candidate in candidates}
        self._tracks = {key: tracks for key, tracks in self._tracks.items() if key[0] in self._candidates}
        if health_policy is not None and health_policy != self._health_policy:
            self._health_policy = health_policy
            for tracks in self._tracks.values():
                tracks.overall = tracks.overall.under(health_policy)
                tracks.banks = {bank: track.under(health_policy) for bank, track in tracks.banks.items()}
        self._policies = policies
        self._pins = pins or {}
        self._cache.clear()

    def forget_results(self) -> None:
        """Know nothing of the health of any account, as at the start."""
        self._tracks.clear()
        self._cache.clear()

    def policy(self, product: str) -> RoutingPolicy:
        """Return the policy of a product."""
        return self._policies.get(product) or self._policies[""]

    def decide(
        self, request: RoutingRequest, *, transform: Callable[[Snapshot], Snapshot] | None = None
    ) -> tuple[RoutingDecision, Snapshot]:
        """Select an account by what this process knows now.

        Args:
            transform: Returns the same snapshot under another configuration, which decides instead.
        """
        snapshot = self.snapshot(request.at, request.product, request.method)
        if transform is not None:
            snapshot = transform(snapshot)
        draws = Draws(self._draw(), self._draw(), self._draw(), self._draw())
        decision = decide(request, snapshot, draws)
        if decision.chosen is not None:
            tracks = self._tracks.get((decision.chosen, request.method))
            (chosen,) = (each for each in snapshot.candidates if each.account_id == decision.chosen)
            if tracks is not None and chosen.health[""].share < 1.0:
                tracks.probed_at = request.at
                self._cache[request.method].stale.add(decision.chosen)
        return decision, snapshot

    def snapshot(self, now: datetime, product: str = "", interface: str = "") -> Snapshot:
        """Return everything that a decision made now would depend on."""
        policy = self.policy(product)
        cached = self._cache.get(interface)
        if cached is None or now - cached.at > _REFRESH_ALL_EVERY:
            candidates = tuple(self._with_health(each, interface, now) for each in self._candidates.values())
            cached = self._cache[interface] = _CachedCandidates(now, now, candidates)
        elif now - cached.unwell_at > _REFRESH_UNWELL_EVERY:
            cached.unwell_at = now
            cached.stale.update(each.account_id for each in cached.candidates if not _is_well(each.health))
        if cached.stale:
            cached.candidates = tuple(
                self._with_health(self._candidates[each.account_id], interface, now)
                if each.account_id in cached.stale
                else each
                for each in cached.candidates
            )
            cached.stale.clear()
        pin, until = self._pins.get(product) or self._pins.get("") or ("", None)
        return Snapshot(cached.candidates, policy, pin, until)

    def learn(self, account_id: UUID, result: AttemptResult, *, shared: bool = False) -> bool:
        """Add the result of an attempt; return False if it changes nothing.

        Args:
            shared: Another process has shared the result, so it is not shared again.
        """
        if account_id not in self._candidates:
            return False
        key = account_id, result.interface
        tracks = self._tracks.get(key)
        if tracks is None:
            tracks = self._tracks[key] = _InterfaceTracks(Track(self._health_policy))
        if not tracks.overall.learn(result):
            return False
        tracks.result_at = max(result.at, tracks.result_at or result.at)
        if result.institution:
            bank = tracks.banks.get(result.institution)
            if bank is None:
                bank = tracks.banks[result.institution] = Track(self._health_policy)
            bank.learn(replace(result, institution=""))
        cached = self._cache.get(result.interface)
        if cached is not None:
            cached.stale.add(account_id)
        if not shared:
            self._on_new_result(account_id, result)
        return True

    def health(self, account_id: UUID, now: datetime, interface: str = "", institution: str = "") -> AccountHealth:
        """Return the health of an account now."""
        tracks = self._tracks.get((account_id, interface))
        if tracks is None:
            return self._without_results
        return (tracks.banks.get(institution, tracks.overall) if institution else tracks.overall).health(now)

    def tracked(self) -> list[tuple[UUID, str]]:
        """Return the accounts and interfaces that have results."""
        return sorted(self._tracks)

    def idle(self, now: datetime) -> list[tuple[UUID, str]]:
        """Return what is to be probed and gets no traffic that could do it, so that a query has to."""
        pause = self._health_policy.ramp_pause * 2
        return [
            key
            for key, tracks in self._tracks.items()
            if tracks.overall.health(now).state is HealthState.PROBING
            and all(at is None or now - at > pause for at in (tracks.probed_at, tracks.result_at))
        ]

    def _with_health(self, candidate: Candidate, interface: str, now: datetime) -> Candidate:
        tracks = self._tracks.get((candidate.account_id, interface))
        if tracks is None:
            return replace(candidate, health={"": self._without_results})
        overall = tracks.overall.health(now)
        health = {"": overall}
        for bank, track in tracks.banks.items():
            bank_health = track.health(now)
            if bank_health.state is not HealthState.HEALTHY:
                health[bank] = bank_health
        due = overall.state is HealthState.PROBING and (
            tracks.probed_at is None or now - tracks.probed_at >= self._health_policy.ramp_pause
        )
        return replace(candidate, health=health, probe_due=due)


def _is_well(health: Mapping[str, AccountHealth]) -> bool:
    return len(health) == 1 and health[""].state is HealthState.HEALTHY
