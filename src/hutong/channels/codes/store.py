"""Code maps in the database: loaded from the files that ship, changed by two persons, every version kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
        proposal_id: Who wanted it, who approved it and why stands there; None came with the program.
    """

    entry: CodeEntry
    version: int
    changed_at: datetime
    proposal_id: UUID | None


@dataclass(frozen=True, slots=True)
class UnmappedCode:
    """A code that no map holds, and how often it came."""

    channel: str
    interface: str
    code: str
    sub_code: str
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
    message: str


async def load_shipped(tx: db.Tx, *, now: datetime) -> list[str]:
    """Bring the maps up to the files that ship with the installed adapters.

    An entry that operators have changed stays as they want it; what a newer file no longer has stays as well.

    Repeat:
        Does nothing while the files are the same.

    Returns:
        The channels whose map was changed.

    Errors:
        ConfigurationError: a file is not of its layout.
    """
    files = {name: made.code_map.read_bytes() for name, made in adapters().items()}
    digests = {name: hashlib.sha256(text).digest() for name, text in files.items()}
    known = {row["channel"]: row["shipped_digest"] for row in await sql.code_versions.fetch(tx)}
    if all(known.get(name) == digest for name, digest in digests.items()):
        return []
    await sql.start_code_maps.execute(tx, sorted(files))
    locked = await sql.lock_code_maps.fetch(tx, sorted(files))
    versions = {row["channel"]: row["version"] for row in locked if row["shipped_digest"] != digests[row["channel"]]}
    standing = {version.entry.place: version for version in await current_codes(tx, sorted(versions))}
    fresh = [
        entry
        for channel in sorted(versions)
        for entry in _shipped(channel)
        if _takes_over(standing.get(entry.place), entry)
    ]
    changed = {entry.channel for entry in fresh}
    versions = {channel: version + (channel in changed) for channel, version in versions.items()}
    await _insert(tx, fresh, versions, now=now, proposal_id=None)
    await sql.set_code_maps.execute(
        tx, list(versions), list(versions.values()), [digests[channel] for channel in versions]
    )
    return sorted(changed)


def _takes_over(standing: CodeVersion | None, shipped: CodeEntry) -> bool:
    if standing is None:
        return True
    return standing.proposal_id is None and standing.entry != shipped


def _shipped(channel: str) -> list[CodeEntry]:
    try:
        meanings = load_codes(adapters()[channel].code_map)
    except ValueError as error:
        raise ConfigurationError(
            f"the code map that ships with the channel {channel} cannot be read: {error}"
        ) from error
    return [CodeEntry(channel, *key, meaning) for key, meaning in sorted(meanings.items())]


async def current_codes(tx: db.Tx, channels: Sequence[str]) -> list[CodeVersion]:
    """The maps of some channels as they hold now, in the order of their keys."""
    return [_version(row) for row in await sql.current_codes.fetch(tx, channels)]


async def code_history(tx: db.Tx, *, channel: str, interface: str, code: str, sub_code: str = "") -> list[CodeVersion]:
    """Every version of one entry, newest first; empty if there never was one."""
    return [_version(row) for row in await sql.code_history.fetch(tx, channel, interface, code, sub_code)]


async def open_unmapped(tx: db.Tx, *, limit: int = 1000) -> list[UnmappedCode]:
    """Codes that came and have no meaning to this day, the latest first."""
    return [UnmappedCode(*row) for row in await sql.open_unmapped.fetch(tx, limit)]


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
    """Propose that a code means something, or something else than it does now.

    Errors:
        InvalidParameter: no such channel, a field is wrong, or the entry means this already.
        NotPermitted: the maker may not propose.
    """
    if entry.channel not in adapters():
        raise InvalidParameter("no adapter for this channel is installed", param="channel")
    check_entry(entry)
    standing = await _standing(tx, entry)
    if standing is not None and standing.entry == entry:
        raise InvalidParameter("the code means this already", param="code")
    new = operators.NewProposal(
        proposal_id=proposal_id,
        maker_id=maker_id,
        action=CHANGE,
        object_kind=_KIND,
        object_id=entry.name,
        # The version that the maker has seen: what is approved is the step from there and from nowhere else.
        payload={"version": 0 if standing is None else standing.version, "entry": entry.document()},
        reason=reason,
        request_id=request_id,
    )
    (made,) = await operators.propose(tx, [new], now=now)
    return made


async def change_code(tx: db.Tx, proposal: operators.Proposal, now: datetime) -> None:
    """Let an approved change hold: every process reads the map again within seconds.

    Errors:
        Conflict: the entry has been changed since it was proposed.
    """
    entry = CodeEntry.read(proposal.payload["entry"])
    check_entry(entry)
    locked = await sql.lock_code_maps.fetchrow(tx, [entry.channel])
    if locked is None:
        raise NotFound("the channel has no code map")
    standing = await _standing(tx, entry)
    if (0 if standing is None else standing.version) != proposal.payload["version"]:
        raise Conflict("the entry has been changed since this was proposed; propose it again")
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
                before=None if standing is None else standing.entry.document(),
                after=entry.document(),
            )
        ],
        now=now,
    )


async def _standing(tx: db.Tx, entry: CodeEntry) -> CodeVersion | None:
    found = await code_history(
        tx, channel=entry.channel, interface=entry.interface, code=entry.code, sub_code=entry.sub_code
    )
    return found[0] if found else None


async def _insert(
    tx: db.Tx, entries: Sequence[CodeEntry], versions: Mapping[str, int], *, now: datetime, proposal_id: UUID | None
) -> None:
    meanings = [entry.meaning for entry in entries]
    await sql.insert_codes.execute(
        tx,
        [entry.channel for entry in entries],
        [entry.interface for entry in entries],
        [entry.code for entry in entries],
        [entry.sub_code for entry in entries],
        [versions[entry.channel] for entry in entries],
        [meaning.unified_code for meaning in meanings],
        [meaning.state for meaning in meanings],
        [meaning.retryable for meaning in meanings],
        [meaning.action for meaning in meanings],
        [meaning.text_en for meaning in meanings],
        [meaning.text_zh for meaning in meanings],
        now,
        proposal_id,
    )


def _version(row: asyncpg.Record) -> CodeVersion:
    return CodeVersion(CodeEntry.read(dict(row)), row["version"], row["changed_at"], row["proposal_id"])
