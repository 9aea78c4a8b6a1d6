"""Code maps in the database: loaded from the shipped files, changed under maker-checker, every version kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

import asyncpg

from hutong import db, operators
from hutong.channels.codes.codes import CodeEntry, check_entry, load_codes
from hutong.channels.registry import adapters
from hutong.channels.statements import sql
from hutong.errors import ConfigurationError, Conflict, InvalidParameter, NotFound

CHANGE = "channel_code.change"
"""The action of a proposal to change one entry."""

_KIND = "channel_code"


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """One version of one entry.

    Attributes:
        proposal_id: Holds the author, the approver and the reason; None for an entry that came with the program.
    """

    entry: CodeEntry
    version: int
    changed_at: datetime
    proposal_id: UUID | None


async def load_shipped(tx: db.Tx, *, now: datetime) -> list[str]:
    """Update the maps from the files that ship with the installed adapters.

    An entry that operators have changed stays; an entry that a newer file no longer has stays as well.

    Repeat:
        Does nothing while the files are unchanged.

    Returns:
        The channels whose map has changed.

    Errors:
        ConfigurationError: a file has another layout.
    """
    files = {name: entry.code_map.read_bytes() for name, entry in adapters().items()}
    digests = {name: hashlib.sha256(content).digest() for name, content in files.items()}
    loaded = {row["channel"]: row["shipped_digest"] for row in await sql.code_versions.fetch(tx)}
    if all(loaded.get(name) == digest for name, digest in digests.items()):
        return []
    await sql.start_code_maps.execute(tx, sorted(files))
    locked = await sql.lock_code_maps.fetch(tx, sorted(files))
    versions = {row["channel"]: row["version"] for row in locked if row["shipped_digest"] != digests[row["channel"]]}
    current = {version.entry.key: version for version in await current_codes(tx, sorted(versions))}
    new = [
        entry for channel in sorted(versions) for entry in _shipped(channel) if _replaces(current.get(entry.key), entry)
    ]
    changed = {entry.channel for entry in new}
    versions = {channel: version + (channel in changed) for channel, version in versions.items()}
    await _insert(tx, new, versions, now=now, proposal_id=None)
    await sql.set_code_maps.execute(
        tx, list(versions), list(versions.values()), [digests[channel] for channel in versions]
    )
    return sorted(changed)


def _replaces(current: CodeVersion | None, shipped: CodeEntry) -> bool:
    if current is None:
        return True
    return current.proposal_id is None and current.entry != shipped


def _shipped(channel: str) -> list[CodeEntry]:
    try:
        meanings = load_codes(adapters()[channel].code_map)
    except ValueError as error:
        raise ConfigurationError(
            f"the code map that ships with the channel {channel} cannot be read: {error}"
        ) from error
    return [CodeEntry(channel, *key, meaning) for key, meaning in sorted(meanings.items())]


async def current_codes(tx: db.Tx, channels: Sequence[str]) -> list[CodeVersion]:
    """Return the current maps of some channels, in the order of their keys."""
    return [_version(row) for row in await sql.current_codes.fetch(tx, channels)]


async def code_history(tx: db.Tx, *, channel: str, interface: str, code: str, sub_code: str = "") -> list[CodeVersion]:
    """Return every version of one entry, newest first; empty if there never was one."""
    return [_version(row) for row in await sql.code_history.fetch(tx, channel, interface, code, sub_code)]


async def propose_code(
    tx: db.Tx,
    entry: CodeEntry,
    *,
    proposal_id: UUID,
    maker_id: UUID,
    reason: str,
    now: datetime,
    request_id: str | None = None,
) -> operators.Proposal:
    """Propose a new or another meaning for a code.

    Errors:
        InvalidParameter: no such channel, a field is wrong, or the code already has this meaning.
        NotPermitted: the maker may not propose.
    """
    if entry.channel not in adapters():
        raise InvalidParameter("no adapter for this channel is installed", param="channel")
    check_entry(entry)
    current = await _current(tx, entry)
    if current is not None and current.entry == entry:
        raise InvalidParameter("the code already has this meaning", param="code")
    new = operators.NewProposal(
        proposal_id=proposal_id,
        maker_id=maker_id,
        action=CHANGE,
        object_kind=_KIND,
        object_id=entry.name,
        # The version that the maker has seen: the approval covers the change of this version alone.
        payload={"version": 0 if current is None else current.version, "entry": entry.document()},
        reason=reason,
        request_id=request_id,
    )
    (proposal,) = await operators.propose(tx, [new], now=now)
    return proposal


async def change_code(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    """Apply an approved change; every process reloads the map within seconds.

    Errors:
        Conflict: the entry has been changed since it was proposed.
    """
    entry = CodeEntry.read(proposal.payload["entry"])
    check_entry(entry)
    locked = await sql.lock_code_maps.fetchrow(tx, [entry.channel])
    if locked is None:
        raise NotFound("the channel has no code map")
    current = await _current(tx, entry)
    if (0 if current is None else current.version) != proposal.payload["version"]:
        raise Conflict("the entry has been changed since the proposal; propose the change again")
    versions = {entry.channel: locked["version"] + 1}
    await _insert(tx, [entry], versions, now=now, proposal_id=proposal.proposal_id)
    await sql.set_code_maps.execute(tx, [entry.channel], [versions[entry.channel]], [locked["shipped_digest"]])
    await operators.audit(
        tx,
        [
            operators.AuditEntry(
                proposal.checker_id,
                CHANGE,
                _KIND,
                entry.name,
                proposal.reason,
                before=None if current is None else current.entry.document(),
                after=entry.document(),
            )
        ],
        now=now,
    )


async def _current(tx: db.Tx, entry: CodeEntry) -> CodeVersion | None:
    history = await code_history(
        tx, channel=entry.channel, interface=entry.interface, code=entry.code, sub_code=entry.sub_code
    )
    return history[0] if history else None


async def _insert(
    tx: db.Tx, entries: Sequence[CodeEntry], versions: Mapping[str, int], *, now: datetime, proposal_id: UUID | None
) -> None:
    rows = [SimpleNamespace(**entry.document(), version=versions[entry.channel]) for entry in entries]
    await sql.insert_codes.execute(tx, rows=rows, changed_at=now, proposal_id=proposal_id)


def _version(row: asyncpg.Record) -> CodeVersion:
    return CodeVersion(CodeEntry.read(dict(row)), row["version"], row["changed_at"], row["proposal_id"])
