"""Trying a draft on a share of the payments: proposed by one person, approved by another, ended by its guardrail."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from hutong import db, operators
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.routing.configuration.configuration import Configuration, read_configuration
from hutong.routing.experiments.assignment import Arm, Outcome, Running
from hutong.routing.experiments.significance import Comparison, Finding, compare
from hutong.routing.model import Candidate
from hutong.routing.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)

TRIAL = "routing.trial"
"""The action of a proposal to try a draft."""
TRIAL_PREFIX = "rtt"
SHARE_MAX = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """A draft that is tried, or was.

    Attributes:
        version: The configuration that it is tried against.
        share: The part of the payments that it routes.
        guardrail: How much lower than the control's its success rate may be; significantly beyond that, it ends.
    """

    trial_id: UUID
    document: Mapping[str, Any]
    version: int
    share: float
    guardrail: float
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A trial and what has come of it so far.

    Attributes:
        outcomes: By (arm, currency).
    """

    trial: Trial
    outcomes: Mapping[tuple[Arm, str], Outcome]

    def arm(self, arm: Arm) -> tuple[int, int]:
        """How many payments of an arm are over, and how many of them succeeded."""
        own = [outcome for (name, _), outcome in self.outcomes.items() if name is arm]
        return sum(one.ended for one in own), sum(one.succeeded for one in own)

    @property
    def comparison(self) -> Comparison:
        """The draft against the control."""
        return compare(self.arm(Arm.DRAFT), self.arm(Arm.CONTROL))

    @property
    def verdict(self) -> Finding:
        """What it says of the draft."""
        return self.comparison.verdict(self.trial.guardrail)


def document_digest(document: Mapping[str, Any]) -> str:
    """By what a draft is known again, however its file is written."""
    return hashlib.sha256(orjson.dumps(dict(document), option=orjson.OPT_SORT_KEYS)).hexdigest()


async def propose_trial(
    tx: db.Tx,
    document: Mapping[str, Any],
    *,
    version: int,
    share: float,
    guardrail: float,
    candidates: Sequence[Candidate],
    proposal_id: UUID,
    maker_id: UUID,
    reason: str,
    now: datetime,
    request_id: str | None = None,
) -> operators.Proposal:
    """Propose to try a draft on a share of the payments. What is wrong with it is found now.

    Args:
        version: The configuration in force, against which it is tried.

    Errors:
        ConfigurationRefused, RulesRefused, InvalidParameter; NotPermitted: the maker may not propose.
    """
    if not 0 < share <= SHARE_MAX:
        raise InvalidParameter(f"lies above 0 and at most at {SHARE_MAX:.0%}", param="share")
    if not 0 <= guardrail <= 1:
        raise InvalidParameter("lies in 0–1", param="guardrail")
    read_configuration(document, version=version, candidates=candidates)
    new = operators.NewProposal(
        proposal_id=proposal_id,
        maker_id=maker_id,
        action=TRIAL,
        object_kind="routing",
        object_id=f"trial/{document_digest(document)[:12]}",
        payload={"version": version, "document": dict(document), "share": share, "guardrail": guardrail},
        reason=reason,
        request_id=request_id,
    )
    (made,) = await operators.propose(tx, [new], now=now)
    return made


async def start_trial(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    """Let an approved draft be tried; every process goes by it within two seconds. It has the proposal's number.

    Errors:
        Conflict: another configuration was published since it was proposed, or another draft is being tried.
    """
    payload = proposal.payload
    standing: int = await sql.current_version.fetchval(tx)
    if payload["version"] != standing:
        raise Conflict("another configuration was published since this was proposed; propose it again")
    document = payload["document"]
    read_configuration(document, version=standing)
    text, digest = orjson.dumps(document).decode(), document_digest(document)
    numbers = payload["share"], payload["guardrail"]
    trial_id = proposal.proposal_id
    if await sql.start_trial.fetchval(tx, trial_id, text, digest, standing, *numbers, now, trial_id) is None:
        raise Conflict("another draft is being tried; end it first")
    entry = operators.AuditEntry(
        proposal.checker_id,
        "routing.trial.start",
        "routing",
        proposal.object_id,
        proposal.reason,
        after={"version": standing, "share": payload["share"], "guardrail": payload["guardrail"]},
    )
    await operators.audit(tx, [entry], now=now)


async def end_trial(
    tx: db.Tx, *, operator_id: UUID | None, reason: str, now: datetime, request_id: str | None = None
) -> Trial:
    """End the trial that runs: every process routes all payments by the configuration in force within two seconds. One
    person is enough.

    Args:
        operator_id: None is the system itself.

    Effects:
        Writes one audit entry.

    Errors:
        NotFound: none runs.
    """
    operators.check_reason(reason)
    row = await sql.end_trial.fetchrow(tx, now, reason)
    if row is None:
        raise NotFound("no draft is being tried")
    trial = _trial(row)
    entry = operators.AuditEntry(
        operator_id, "routing.trial.end", "routing", f"trial/{row['digest'][:12]}", reason, request_id=request_id
    )
    await operators.audit(tx, [entry], now=now)
    return trial


async def guard_trial(tx: db.Tx, *, now: datetime) -> Standing | None:
    """End the trial that runs if its draft is significantly worse than its guardrail allows.

    Returns:
        What was ended; None if nothing was.
    """
    trial_id = await sql.running_trial.fetchval(tx)
    if trial_id is None:
        return None
    standing = await find_trial(tx, trial_id)
    compared = standing.comparison
    if not compared.breaks(standing.trial.guardrail):
        return None
    reason = (
        f"guardrail: the draft's success rate is {-compared.difference:.2%} below the control's, at least"
        f" {-compared.high:.2%}, and {standing.trial.guardrail:.2%} were allowed"
    )
    await end_trial(tx, operator_id=None, reason=reason, now=now)
    _log.warning("routing_trial_ended", trial=str(trial_id), reason=reason)
    return standing


async def running_trial(tx: db.Tx, known: Running | None) -> Running | None:
    """The trial that runs, as processes go by it.

    Args:
        known: What the process has read before, so that it need not read it again.
    """
    trial_id = await sql.running_trial.fetchval(tx)
    if trial_id is None or (known is not None and known.trial_id == trial_id):
        return known if trial_id is not None else None
    trial = (await find_trial(tx, trial_id)).trial
    return Running(trial.trial_id, trial.share, trial.started_at, configuration_of(trial))


async def find_trial(tx: db.Tx, trial_id: UUID) -> Standing:
    """A trial and what has come of it.

    Errors:
        NotFound: there is none.
    """
    row = await sql.find_trial.fetchrow(tx, trial_id)
    if row is None:
        raise NotFound("there is no such trial")
    return await _standing(tx, row)


async def latest_trial(tx: db.Tx, *, of: Mapping[str, Any] | None = None) -> Standing | None:
    """The last trial, or the last one of a draft."""
    row = await sql.latest_trial.fetchrow(tx, None if of is None else document_digest(of))
    return None if row is None else await _standing(tx, row)


async def add_outcomes(tx: db.Tx, outcomes: Mapping[tuple[UUID, Arm, str], Outcome]) -> None:
    """Count what has come of payments in the arms of their trials."""
    await sql.add_outcomes.execute(
        tx,
        [trial_id for trial_id, _, _ in outcomes],
        [arm for _, arm, _ in outcomes],
        [currency for _, _, currency in outcomes],
        [one.ended for one in outcomes.values()],
        [one.succeeded for one in outcomes.values()],
        [one.captured_minor for one in outcomes.values()],
        [one.cost_ten_thousandths for one in outcomes.values()],
    )


def configuration_of(trial: Trial) -> Configuration:
    """The draft, ready to be used, under the number of what it is tried against."""
    return read_configuration(trial.document, version=trial.version)


async def _standing(tx: db.Tx, row: asyncpg.Record) -> Standing:
    rows = await sql.trial_outcomes.fetch(tx, row["id"])
    outcomes = {
        (Arm(one["arm"]), one["currency"]): Outcome(
            one["ended"], one["succeeded"], one["captured_minor"], one["cost_ten_thousandths"]
        )
        for one in rows
    }
    return Standing(_trial(row), outcomes)


def _trial(row: asyncpg.Record) -> Trial:
    return Trial(
        row["id"],
        orjson.loads(row["document"]),
        row["version"],
        row["share"],
        row["guardrail"],
        row["started_at"],
        row["ended_at"],
        row["end_reason"],
    )
