"""Experiments: a draft routes a share of the payments, approved by a second person and ended by its guardrail."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import orjson

from hutong import db, operators
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.routing.configuration.configuration import Configuration, read_configuration
from hutong.routing.experiments.assignment import Arm, ArmOutcome, OutcomeKey, RunningExperiment
from hutong.routing.experiments.significance import Comparison, ExperimentVerdict, compare
from hutong.routing.model import Candidate
from hutong.routing.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)

START_EXPERIMENT = "routing.trial"
"""The action of a proposal to start an experiment."""
SHARE_MAX = 0.5


@dataclass(frozen=True, slots=True)
class Experiment:
    """A draft that routes a share of the payments, or did.

    Attributes:
        version: The configuration that it is compared with.
        share: The part of the payments that it routes.
        guardrail: How much lower than the control's its success rate may be. The experiment ends if the rate is lower
            by significantly more.
    """

    PREFIX: ClassVar[str] = "rtt"

    experiment_id: UUID
    document: Mapping[str, Any]
    version: int
    share: float
    guardrail: float
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None


@dataclass(frozen=True, slots=True)
class ExperimentStatus:
    """An experiment and its outcomes so far.

    Attributes:
        outcomes: By (arm, currency).
    """

    experiment: Experiment
    outcomes: Mapping[tuple[Arm, str], ArmOutcome]

    def arm(self, arm: Arm) -> tuple[int, int]:
        """Return how many payments of an arm have ended, and how many of them succeeded."""
        outcomes = [outcome for (name, _), outcome in self.outcomes.items() if name is arm]
        return sum(outcome.ended for outcome in outcomes), sum(outcome.succeeded for outcome in outcomes)

    @property
    def comparison(self) -> Comparison:
        """The draft compared with the control."""
        return compare(self.arm(Arm.DRAFT), self.arm(Arm.CONTROL))

    @property
    def verdict(self) -> ExperimentVerdict:
        """The result for the draft."""
        return self.comparison.verdict(self.experiment.guardrail)


def document_digest(document: Mapping[str, Any]) -> str:
    """Return a digest that identifies a draft, however its file is formatted."""
    return hashlib.sha256(orjson.dumps(dict(document), option=orjson.OPT_SORT_KEYS)).hexdigest()


async def propose_experiment(
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
    """Propose to route a share of the payments by a draft. Errors in the draft are found now.

    Args:
        version: The configuration in force, with which the draft is compared.

    Errors:
        ConfigurationRefused, RulesRefused, InvalidParameter; NotPermitted: the maker may not propose.
    """
    if not 0 < share <= SHARE_MAX:
        raise InvalidParameter(f"share must be above 0 and at most {SHARE_MAX:.0%}", param="share")
    if not 0 <= guardrail <= 1:
        raise InvalidParameter("guardrail must lie in 0–1", param="guardrail")
    read_configuration(document, version=version, candidates=candidates)
    new = operators.NewProposal(
        proposal_id=proposal_id,
        maker_id=maker_id,
        action=START_EXPERIMENT,
        object_kind="routing",
        object_id=f"trial/{document_digest(document)[:12]}",
        payload={"version": version, "document": dict(document), "share": share, "guardrail": guardrail},
        reason=reason,
        request_id=request_id,
    )
    (proposal,) = await operators.propose(tx, [new], now=now)
    return proposal


async def start_experiment(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    """Start the experiment of an approved draft, under the id of the proposal; every process applies it within two
    seconds.

    Errors:
        Conflict: another configuration was published since it was proposed, or another experiment is running.
    """
    payload = proposal.payload
    version: int = await sql.current_version.fetchval(tx)
    if payload["version"] != version:
        raise Conflict("another configuration was published since this was proposed; propose it again")
    document = payload["document"]
    read_configuration(document, version=version)
    started = await sql.start_experiment.fetchval(
        tx,
        experiment_id=proposal.proposal_id,
        document=orjson.dumps(document).decode(),
        digest=document_digest(document),
        version=version,
        share=payload["share"],
        guardrail=payload["guardrail"],
        started_at=now,
        proposal_id=proposal.proposal_id,
    )
    if started is None:
        raise Conflict("another draft is being tried; end it first")
    entry = operators.AuditEntry(
        proposal.checker_id,
        "routing.trial.start",
        "routing",
        proposal.object_id,
        proposal.reason,
        after={"version": version, "share": payload["share"], "guardrail": payload["guardrail"]},
    )
    await operators.audit(tx, [entry], now=now)


async def end_experiment(
    tx: db.Tx, *, operator_id: UUID | None, reason: str, now: datetime, request_id: str | None = None
) -> ExperimentStatus:
    """End the running experiment; every process routes all payments by the configuration in force within two seconds.

    One person is enough.

    Args:
        operator_id: None is the system itself.

    Effects:
        Writes one audit entry.

    Errors:
        NotFound: no experiment is running.
    """
    operators.check_reason(reason)
    row = await sql.end_experiment.fetchrow(tx, now, reason)
    if row is None:
        raise NotFound("no draft is being tried")
    entry = operators.AuditEntry(
        operator_id, "routing.trial.end", "routing", f"trial/{row['digest'][:12]}", reason, request_id=request_id
    )
    await operators.audit(tx, [entry], now=now)
    return await _status(tx, row)


async def guard_experiment(tx: db.Tx, *, now: datetime) -> ExperimentStatus | None:
    """End the running experiment if its draft is significantly worse than its guardrail allows.

    Returns:
        The experiment that was ended; None if none was.
    """
    experiment_id = await sql.running_experiment.fetchval(tx)
    if experiment_id is None:
        return None
    status = await find_experiment(tx, experiment_id)
    comparison, guardrail = status.comparison, status.experiment.guardrail
    if not comparison.breaks(guardrail):
        return None
    reason = (
        f"guardrail: the draft's success rate is {-comparison.difference:.2%} below the control's, at least"
        f" {-comparison.high:.2%}, and {guardrail:.2%} were allowed"
    )
    ended = await end_experiment(tx, operator_id=None, reason=reason, now=now)
    _log.warning("routing_trial_ended", trial=str(experiment_id), reason=reason)
    return ended


async def running_experiment(tx: db.Tx, current: RunningExperiment | None) -> RunningExperiment | None:
    """Return the experiment that is running, as processes apply it.

    Args:
        current: The experiment that the process applies, which is not read again if it is still running.
    """
    experiment_id = await sql.running_experiment.fetchval(tx)
    if experiment_id is None or (current is not None and current.experiment_id == experiment_id):
        return current if experiment_id is not None else None
    experiment = (await find_experiment(tx, experiment_id)).experiment
    return RunningExperiment(
        experiment.experiment_id, experiment.share, experiment.started_at, draft_configuration(experiment)
    )


async def find_experiment(tx: db.Tx, experiment_id: UUID) -> ExperimentStatus:
    """Return an experiment and its outcomes so far.

    Errors:
        NotFound: there is no such experiment.
    """
    row = await sql.find_experiment.fetchrow(tx, experiment_id)
    if row is None:
        raise NotFound("there is no such trial")
    return await _status(tx, row)


async def latest_experiment(tx: db.Tx, *, of: Mapping[str, Any] | None = None) -> ExperimentStatus | None:
    """Return the latest experiment, or the latest one of a draft; None if there was none."""
    row = await sql.latest_experiment.fetchrow(tx, None if of is None else document_digest(of))
    return None if row is None else await _status(tx, row)


async def add_outcomes(tx: db.Tx, outcomes: Mapping[OutcomeKey, ArmOutcome]) -> None:
    """Add outcomes of payments to the arms of their experiments."""
    await sql.add_outcomes.execute(
        tx,
        rows=list(outcomes.values()),
        experiment_id=[experiment_id for experiment_id, _, _ in outcomes],
        arm=[arm for _, arm, _ in outcomes],
        currency=[currency for _, _, currency in outcomes],
    )


def draft_configuration(experiment: Experiment) -> Configuration:
    """Return the draft ready to be used, under the version that it is compared with."""
    return read_configuration(experiment.document, version=experiment.version)


async def _status(tx: db.Tx, row: asyncpg.Record) -> ExperimentStatus:
    experiment = _read_experiment(row)
    rows = await sql.experiment_outcomes.fetch(tx, experiment.experiment_id)
    outcomes = {(Arm(each["arm"]), each["currency"]): _read_outcome(each) for each in rows}
    return ExperimentStatus(experiment, outcomes)


_read_experiment = db.reader(Experiment, sql["experiment"], document=orjson.loads)
_read_outcome = db.reader(ArmOutcome, sql["outcome"])
