"""Health of a channel, from the results of its attempts: a fold over them in the order of time.

Whatever order results arrive in, and however often, the same set of results gives the same health: each attempt counts
once, in the order of (time, attempt). Only technical failures count: a payer's wrong code or empty balance is not the
channel's failure.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import log
from uuid import UUID

from hutong.channels import NOT_SENT, ChannelAnswer, ChannelState

TECHNICAL = frozenset(
    {
        "bank_error",
        "channel_busy",
        "channel_error",
        "frequency_limited",
        "maintenance",
        "merchant_not_found",
        "merchant_not_permitted",
        "method_unavailable",
        "signature_invalid",
    }
)
"""Unified codes for what the channel, its bank or our account there cannot do; another account may be able to."""

_WITHOUT_RESULT = frozenset({None, "in_doubt", "unmapped"})

_OTHERS_OF, _OTHERS_MIN, _OTHERS_RATIO = 10, 2, 0.7
"""A failure is not one bank's own if, of the last ten results, at least two are of other banks than the worst one, and
at least this share of those are faults."""
_FAULTS_MIN = 0.03
_USUAL_WEIGHT = 40.0
"""The usual rate must change slowly, or a dying channel would make dying usual."""
_STAGE_PATIENCE = 3


class HealthState(StrEnum):
    """healthy → degraded → open → probing → healthy; a degraded account may also recover by itself."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It fails more than it should: its score falls, and it is still used."""
    OPEN = "open"
    """It gets no payments."""
    PROBING = "probing"
    """It gets a small share of payments, which grows with its successes."""


@dataclass(frozen=True, slots=True, order=True)
class AttemptResult:
    """The result of one attempt, as health counts it.

    Attributes:
        at: When the answer was received, by the clock of the process that received it.
        attempt_id: Two results of one attempt count once; the later one is left out.
        institution: The payer's bank, if it is known.
        interface: The interface that was called, such as the payment method; each has a health of its own.
    """

    at: datetime
    attempt_id: UUID
    fault: bool
    latency_ms: int = 0
    institution: str = ""
    interface: str = ""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """The thresholds and times by which health changes.

    Attributes:
        window: How many of the last results the share of faults is taken of.
        sample_min: With fewer results the share of faults is not judged.
        degrade_ratio, recover_ratio: The share of faults in the window from which the account is degraded, and below
            which it is healthy again; the gap between them keeps it from swinging.
        open_evidence: The account opens when the results favor a dead channel over its usual behavior by this much: the
            natural logarithm of the likelihood ratio (CUSUM). 11.5 is one false alarm in 100,000 results.
        dead_faults: The share of faults of a dead channel.
        quiet: A result older than this is no evidence about the present.
        cooldown, cooldown_max: How long the account gets no payments after opening; doubled with every failed probe.
        ramp: Shares while probing, each until `ramp_successes` results in a row were good. The last one is 1.
        ramp_pause: While probing, one payment may be sent after this long, however small the share.
        half_life: The time in which a result loses half of its weight in the estimate.
        prior_success, prior_latency_ms: The estimates before any result is known.
        prior_weight: How many results the prior is worth.
    """

    window: int = 20
    sample_min: int = 10
    degrade_ratio: float = 0.25
    recover_ratio: float = 0.10
    open_evidence: float = 11.5
    dead_faults: float = 0.9
    quiet: timedelta = timedelta(minutes=10)
    cooldown: timedelta = timedelta(seconds=15)
    cooldown_max: timedelta = timedelta(seconds=60)
    ramp: tuple[float, ...] = (0.01, 0.05, 0.25, 1.0)
    ramp_successes: tuple[int, ...] = (2, 3, 5, 10)
    ramp_pause: timedelta = timedelta(seconds=10)
    half_life: timedelta = timedelta(minutes=10)
    prior_success: float = 0.95
    prior_weight: float = 8.0
    prior_latency_ms: float = 1_500.0


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """The health of a channel at one moment.

    Attributes:
        share: The part of its traffic that it may get, 0–1.
        success: The estimated chance that it processes a payment.
        confidence: How many results the estimate is based on, decayed.
        since: When it entered this state.
        faults, seen: How many of its last results were faults when it entered this state, and how many there were.
    """

    state: HealthState = HealthState.HEALTHY
    share: float = 1.0
    success: float = 0.95
    confidence: float = 0.0
    latency_ms: float = 0.0
    since: datetime | None = None
    faults: int = 0
    seen: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it gets no payments."""
        return self.state is HealthState.OPEN


class Track:
    """The results of one channel, account, interface or institution, and the health that follows from them.

    Args:
        kept: How many results are kept to be folded again when one arrives late. Once the track is full, a result that
            is older than all of these is left out.
    """

    def __init__(self, policy: HealthPolicy, *, kept: int = 400) -> None:
        self._policy = policy
        self._kept = kept
        self._results: list[AttemptResult] = []
        self._by_attempt: dict[UUID, AttemptResult] = {}
        self._base = _Fold(policy)
        self._fold = _Fold(policy)

    def learn(self, result: AttemptResult) -> bool:
        """Add a result; return False if it changes nothing."""
        previous = self._by_attempt.get(result.attempt_id)
        if previous is not None:
            if previous <= result:
                return False
            self._results.remove(previous)  # the earlier result of an attempt is the one that counts
        elif len(self._by_attempt) >= self._kept and self._results and result < self._results[0]:
            return False
        self._by_attempt[result.attempt_id] = result
        if previous is None and (not self._results or result > self._results[-1]):
            self._results.append(result)
            self._fold.add(result)
        else:
            insort(self._results, result)
            self._fold = self._base.copy()
            for each in self._results:
                self._fold.add(each)
        if len(self._results) > 2 * self._kept:
            self._forget()
        return True

    def under(self, policy: HealthPolicy) -> Track:
        """Return a track of the same results under another policy, as far as the results are kept."""
        return fold(policy, self._results)

    def health(self, now: datetime) -> AccountHealth:
        """Return the health at this moment."""
        return self._fold.health(now)

    def _forget(self) -> None:
        old, self._results = self._results[: self._kept], self._results[self._kept :]
        for result in old:
            self._base.add(result)
            del self._by_attempt[result.attempt_id]


class _Fold:
    """The running state of a track. Every transition depends on results and times only."""

    __slots__ = (
        "all_weight", "at", "banks", "evidence", "faults", "good_weight", "latency_weight", "opens", "policy", "recent",
        "seen", "since", "stage", "stage_good", "state",
    )  # fmt: skip

    def __init__(self, policy: HealthPolicy) -> None:
        self.policy = policy
        self.state = HealthState.HEALTHY
        self.since: datetime | None = None
        self.at: datetime | None = None
        self.recent: list[AttemptResult] = []
        self.faults = self.seen = 0
        self.opens = 0
        self.stage = 0
        self.stage_good = 0
        self.good_weight = 0.0
        self.all_weight = 0.0
        self.latency_weight = 0.0
        self.evidence = 0.0
        self.banks: dict[str, float] = {}

    def copy(self) -> _Fold:
        other = _Fold(self.policy)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.recent, other.banks = list(self.recent), dict(self.banks)
        return other

    def health(self, now: datetime) -> AccountHealth:
        """Return the health at a moment after the last result; nothing changes."""
        state, since = self.state, self.since
        if state is HealthState.OPEN and since is not None and now >= since + self._cooldown():
            state, since = HealthState.PROBING, since + self._cooldown()
        share = {
            HealthState.OPEN: 0.0,
            HealthState.PROBING: self.policy.ramp[min(self.stage, len(self.policy.ramp) - 1)],
        }
        faded = self._faded(now)
        weight, prior = self.all_weight * faded, self.policy.prior_weight
        success = (self.good_weight * faded + self.policy.prior_success * prior) / (weight + prior)
        latency = (self.latency_weight * faded + self.policy.prior_latency_ms * prior) / (weight + prior)
        return AccountHealth(state, share.get(state, 1.0), success, weight, latency, since, self.faults, self.seen)

    def add(self, result: AttemptResult) -> None:
        """Move on by one result."""
        if self.state is HealthState.OPEN and self.since is not None:
            if result.at < self.since + self._cooldown():
                return  # sent before the account opened, so it is no news
            self.state, self.since, self.stage, self.stage_good = (
                HealthState.PROBING,
                self.since + self._cooldown(),
                0,
                0,
            )
        faded = self._faded(result.at)
        self.evidence = self._evidence(self.evidence, result, faded)
        if result.institution:
            self.banks[result.institution] = self._evidence(self.banks.get(result.institution, 0.0), result, faded)
        # A bank that fails on its own says nothing about the payers of other banks.
        counts = 0.0 if self.banks.get(result.institution, 0.0) >= self.policy.open_evidence / 2 else 1.0
        self.good_weight = self.good_weight * faded + (0.0 if result.fault else counts)
        self.all_weight = self.all_weight * faded + counts
        self.latency_weight = self.latency_weight * faded + result.latency_ms * counts
        self.at = max(result.at, self.at or result.at)
        self.recent = [*self.recent[-(self.policy.window - 1) :], result]
        if self.state is HealthState.PROBING:
            self._probe(result)
        else:
            self._judge(result)

    def _probe(self, result: AttemptResult) -> None:
        policy = self.policy
        if result.fault:
            # A single probe may fail by chance; a second fault among the results of the stage is no chance.
            self.stage_good -= 2
            if self.stage == 0 or self.stage_good < -_STAGE_PATIENCE:
                self._enter(HealthState.OPEN, result.at)
                self.opens += 1
            return
        self.stage_good += 1
        if self.stage_good >= policy.ramp_successes[self.stage]:
            self.stage, self.stage_good = self.stage + 1, 0
            if self.stage == len(policy.ramp):
                self._enter(HealthState.HEALTHY, result.at)
                self.opens = 0

    def _judge(self, result: AttemptResult) -> None:
        policy = self.policy
        fresh = [each for each in self.recent if each.at > result.at - policy.quiet]
        if result.fault and self.evidence >= policy.open_evidence and _fails_everywhere(fresh[-_OTHERS_OF:]):
            self._enter(HealthState.OPEN, result.at)
            self.opens += 1
            return
        if len(fresh) < policy.sample_min:
            return
        ratio = sum(each.fault for each in fresh) / len(fresh)
        if self.state is HealthState.HEALTHY and ratio >= policy.degrade_ratio:
            self._enter(HealthState.DEGRADED, result.at)
        elif self.state is HealthState.DEGRADED and ratio < policy.recover_ratio:
            self._enter(HealthState.HEALTHY, result.at)

    def _evidence(self, before: float, result: AttemptResult, faded: float) -> float:
        """Return the evidence that the channel is dead rather than as usual, after one more result (CUSUM)."""
        policy = self.policy
        weight, prior = self.all_weight * faded, _USUAL_WEIGHT
        success = (self.good_weight * faded + policy.prior_success * prior) / (weight + prior)
        usual = min(max(1.0 - success, _FAULTS_MIN), policy.dead_faults / 2)
        step = log(policy.dead_faults / usual) if result.fault else log((1 - policy.dead_faults) / (1 - usual))
        if self.at is not None and result.at - self.at > policy.quiet:
            before = 0.0
        return min(max(before + step, 0.0), policy.open_evidence)

    def _enter(self, state: HealthState, at: datetime) -> None:
        self.state, self.since = state, at
        self.faults, self.seen = sum(each.fault for each in self.recent), len(self.recent)
        self.stage = self.stage_good = 0
        if state is HealthState.OPEN:
            # The results of an outage must not count against the account once it is back.
            self.recent, self.good_weight, self.all_weight, self.latency_weight = [], 0.0, 0.0, 0.0
        self.evidence = 0.0

    def _cooldown(self) -> timedelta:
        doubled: timedelta = self.policy.cooldown * 2 ** min(max(self.opens - 1, 0), 20)
        return min(doubled, self.policy.cooldown_max)

    def _faded(self, now: datetime) -> float:
        if self.at is None:
            return 1.0
        return float(0.5 ** (max((now - self.at).total_seconds(), 0.0) / self.policy.half_life.total_seconds()))


def _fails_everywhere(last: Sequence[AttemptResult]) -> bool:
    """Return whether the faults are more than one bank's."""
    bank, _ = Counter(each.institution for each in last if each.fault).most_common(1)[0]
    others = [each.fault for each in last if each.institution != bank]
    return not bank or (len(others) >= _OTHERS_MIN and sum(others) >= _OTHERS_RATIO * len(others))


def fold(policy: HealthPolicy, results: Iterable[AttemptResult]) -> Track:
    """Return a track with all these results."""
    track = Track(policy)
    for result in results:
        track.learn(result)
    return track


def is_technical_failure(answer: ChannelAnswer) -> bool:
    """Return whether an answer to a submission counts against the channel: a technical failure or no usable answer."""
    if answer.code in TECHNICAL:
        return answer.state in (ChannelState.FAILED, ChannelState.UNKNOWN)
    return answer.state is ChannelState.UNKNOWN and answer.code in _WITHOUT_RESULT


def can_fail_over(answer: ChannelAnswer) -> bool:
    """Return whether the payment may be attempted at another account.

    It may if this account has proved that it took no money and never will, or was never reached, and the failure was
    not the payer's.
    """
    if answer.state is ChannelState.FAILED:
        return answer.code in TECHNICAL
    return is_not_sent(answer)


def is_not_sent(answer: ChannelAnswer) -> bool:
    """Return whether the request never left for the channel."""
    return answer.state is ChannelState.UNKNOWN and answer.channel_code == NOT_SENT
