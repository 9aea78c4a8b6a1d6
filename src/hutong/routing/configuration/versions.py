"""Versions of the configuration in the database: proposed by one person, approved by another, all of them kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from hutong import db, operators
from hutong.errors import Conflict
from hutong.routing.configuration.configuration import UNCONFIGURED, Configuration, read_configuration
from hutong.routing.configuration.price import Price
from hutong.routing.errors import ConfigurationRefused, DecisionNotFound, ExperimentUndecided
from hutong.routing.experiments.experiment import START_EXPERIMENT, latest_experiment, start_experiment
from hutong.routing.experiments.significance import ExperimentVerdict
from hutong.routing.model import Candidate
from hutong.routing.statements import sql

PUBLISH = "routing.publish"
"""The action of a proposal to publish a configuration."""


@dataclass(frozen=True, slots=True)
class PublishedConfiguration:
    """A version of the configuration as a document; version 0, before the first is published, is empty."""

    version: int
    document: Mapping[str, Any]


async def propose_configuration(
    tx: db.Tx,
    document: Mapping[str, Any],
    *,
    candidates: Sequence[Candidate],
    anyway: bool = False,
    proposal_id: UUID,
    maker_id: UUID,
    reason: str,
    now: datetime,
    request_id: str | None = None,
) -> operators.Proposal:
    """Propose a configuration. Errors in it are found now, before another person has to approve it.

    Args:
        candidates: The existing accounts.
        anyway: Although the experiment with it does not support it; kept with the proposal.

    Errors:
        ExperimentUndecided: the experiment with it does not support it.
        ConfigurationRefused, RulesRefused: the configuration in force stays. NotPermitted: the maker may not propose.
    """
    version = await current_version(tx) + 1
    read_configuration(document, version=version, candidates=candidates)
    payload: dict[str, Any] = {"version": version, "document": dict(document)}
    if anyway:
        payload["anyway"] = True
    else:
        await _check_experiment(tx, document)
    new = operators.NewProposal(
        proposal_id=proposal_id,
        maker_id=maker_id,
        action=PUBLISH,
        object_kind="routing",
        object_id=f"version/{version}",
        # Approved is the step from the version that the maker has seen, and from no other.
        payload=payload,
        reason=reason,
        request_id=request_id,
    )
    (proposal,) = await operators.propose(tx, [new], now=now)
    return proposal


async def publish_configuration(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    """Bring an approved configuration into force; every process applies it within two seconds.

    Errors:
        Conflict: another configuration was published since this one was proposed.
        ExperimentUndecided: the experiment with it does not support it any more, and the proposal has no `anyway`.

    Effects:
        Ends the running experiment, since the configuration that it compares with is replaced.
    """
    version, document = proposal.payload["version"], proposal.payload["document"]
    read_configuration(document, version=version)
    if not proposal.payload.get("anyway"):
        await _check_experiment(tx, document)
    text = orjson.dumps(document).decode()
    if await sql.publish.fetchval(tx, version, text, now, proposal.proposal_id) is None:
        raise Conflict("another configuration was published since this was proposed; propose it again")
    await sql.end_experiment.execute(tx, now, f"version {version} was published")
    entry = operators.AuditEntry(
        proposal.checker_id,
        PUBLISH,
        "routing",
        f"version/{version}",
        proposal.reason,
        before={"version": version - 1},
        after={"version": version} | ({"anyway": True} if proposal.payload.get("anyway") else {}),
    )
    await operators.audit(tx, [entry], now=now)


async def _check_experiment(tx: db.Tx, document: Mapping[str, Any]) -> None:
    status = await latest_experiment(tx, of=document)
    if status is None or status.verdict in (ExperimentVerdict.BETTER, ExperimentVerdict.NO_WORSE):
        return
    comparison = status.comparison
    raise ExperimentUndecided(
        f"this draft was tried and its trial says {status.verdict}: {comparison.difference:+.2%} success"
        f" ({comparison.low:+.2%} to {comparison.high:+.2%}); publish it anyway only with a reason"
    )


async def current_version(tx: db.Tx) -> int:
    """Return the version in force; 0 before the first is published."""
    version: int = await sql.current_version.fetchval(tx)
    return version


async def current_configuration(tx: db.Tx) -> PublishedConfiguration:
    """Return the configuration in force as a document."""
    row = await sql.current_configuration.fetchrow(tx)
    return PublishedConfiguration(0, {}) if row is None else _read_published(row)


async def load_configuration(tx: db.Tx, version: int) -> Configuration:
    """Return a version of the configuration, ready to be used.

    Errors:
        DecisionNotFound: there is no such version.
    """
    if version == 0:
        return UNCONFIGURED
    row = await sql.find_configuration.fetchrow(tx, version)
    if row is None:
        raise DecisionNotFound(f"there is no routing configuration {version}")
    try:
        return read_configuration(_read_published(row).document, version=version)
    except ConfigurationRefused as error:
        raise ConfigurationRefused(f"version {version} cannot be read: {error.detail}") from error


async def price_at(tx: db.Tx, account: str, at: datetime) -> Price | None:
    """Return the price that was configured for an account, such as "wechat/main", at an instant; None without one."""
    row = await sql.configuration_at.fetchrow(tx, at)
    if row is None:
        return None
    published = _read_published(row)
    return read_configuration(published.document, version=published.version).price_of(account)


_read_published = db.reader(PublishedConfiguration, ("version", "document"), document=orjson.loads)

APPROVAL_HANDLERS: Mapping[str, operators.ApprovalHandler] = {
    PUBLISH: publish_configuration,
    START_EXPERIMENT: start_experiment,
}
"""The effect of approving each kind of proposal about routing."""
