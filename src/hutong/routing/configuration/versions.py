"""Configurations in the database: proposed by one person, approved by another, every version kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from hutong import db, operators
from hutong.errors import Conflict
from hutong.routing.configuration.configuration import UNCONFIGURED, Configuration, read_configuration
from hutong.routing.decisions.record import read_basis
from hutong.routing.errors import ConfigurationRefused, DecisionGone, TrialUndecided
from hutong.routing.experiments.experiment import TRIAL, latest_trial, start_trial
from hutong.routing.experiments.significance import Finding
from hutong.routing.model import Candidate
from hutong.routing.statements import sql

PUBLISH = "routing.publish"
"""The action of a proposal to bring a configuration into force."""


@dataclass(frozen=True, slots=True)
class Published:
    """A configuration as it was published."""

    version: int
    document: Mapping[str, Any]
    published_at: datetime
    proposal_id: UUID | None


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
    """Propose a configuration. What is wrong with it is found now, before anybody has to approve it.

    Args:
        candidates: The accounts there are.
        anyway: Although it was tried and its trial does not speak for it; kept with the proposal.

    Errors:
        TrialUndecided: its trial does not speak for it.
        ConfigurationRefused, RulesRefused: what is in force stays. NotPermitted: the maker may not propose.
    """
    standing = await current_version(tx)
    read_configuration(document, version=standing + 1, candidates=candidates)
    payload: dict[str, Any] = {"version": standing + 1, "document": dict(document)}
    if anyway:
        payload["anyway"] = True
    else:
        await _check_trial(tx, document)
    new = operators.NewProposal(
        proposal_id=proposal_id,
        maker_id=maker_id,
        action=PUBLISH,
        object_kind="routing",
        object_id=f"version/{standing + 1}",
        # What is approved is the step from the version that the maker has seen and from no other.
        payload=payload,
        reason=reason,
        request_id=request_id,
    )
    (made,) = await operators.propose(tx, [new], now=now)
    return made


async def publish_configuration(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    """Let an approved configuration hold; every process goes by it within two seconds.

    Errors:
        Conflict: another one was published since it was proposed.
        TrialUndecided: its trial has come to speak against it, and the proposal does not say `anyway`.

    Effects:
        Ends the trial that runs, since what it was tried against is gone.
    """
    version, document = proposal.payload["version"], proposal.payload["document"]
    read_configuration(document, version=version)
    if not proposal.payload.get("anyway"):
        await _check_trial(tx, document)
    text = orjson.dumps(document).decode()
    if await sql.publish.fetchval(tx, version, text, now, proposal.proposal_id) is None:
        raise Conflict("another configuration was published since this was proposed; propose it again")
    await sql.end_trial.execute(tx, now, f"version {version} was published")
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


async def _check_trial(tx: db.Tx, document: Mapping[str, Any]) -> None:
    tried = await latest_trial(tx, of=document)
    if tried is None or tried.verdict in (Finding.BETTER, Finding.NO_WORSE):
        return
    compared = tried.comparison
    raise TrialUndecided(
        f"this draft was tried and its trial says {tried.verdict}: {compared.difference:+.2%} success"
        f" ({compared.low:+.2%} to {compared.high:+.2%}); publish it anyway only with a reason"
    )


async def current_version(tx: db.Tx) -> int:
    """The version in force; 0 while nothing has been published."""
    version: int = await sql.current_version.fetchval(tx)
    return version


async def load_configuration(tx: db.Tx, version: int) -> Configuration:
    """A version, ready to be used.

    Errors:
        DecisionGone: there is no such version.
    """
    if version == 0:
        return UNCONFIGURED
    published = await find_published(tx, version)
    try:
        return read_configuration(published.document, version=version)
    except ConfigurationRefused as error:
        raise ConfigurationRefused(f"version {version} cannot be read: {error.detail}") from error


async def find_published(tx: db.Tx, version: int) -> Published:
    """A version as it was published.

    Errors:
        DecisionGone: there is no such version.
    """
    row = await sql.find_configuration.fetchrow(tx, version)
    if row is None:
        raise DecisionGone(f"there is no routing configuration {version}")
    return _published(row)


async def list_published(tx: db.Tx, *, limit: int = 20) -> list[Published]:
    """What was in force and when, newest first."""
    return [_published(row) for row in await sql.list_configurations.fetch(tx, limit)]


async def find_bases(tx: db.Tx, digests: Collection[str]) -> dict[str, tuple[Candidate, ...]]:
    """What accounts could do when decisions were made, by the name that their records give; absent are left out."""
    rows = await sql.find_bases.fetch(tx, sorted(set(digests)))
    return {row["digest"]: read_basis(row["document"]) for row in rows}


def _published(row: asyncpg.Record) -> Published:
    return Published(row["version"], orjson.loads(row["document"]), row["published_at"], row["proposal_id"])


EFFECTS: Mapping[str, operators.ApprovalHandler] = {PUBLISH: publish_configuration, TRIAL: start_trial}
"""What the approval of each kind of proposal about routing does."""
