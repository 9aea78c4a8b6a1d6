"""`hutong channels codes …` and `hutong channels coverage`: what channels' codes mean."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.clock import SystemClock

if TYPE_CHECKING:
    from datetime import datetime

    from hutong import channels, db, operators

codes = typer.Typer(help="What channels' codes mean; changed by two persons.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel, such as wechat.")]
Interface = Annotated[str, typer.Argument(help="Such as pay or query; * stands for every one.")]
Code = Annotated[str, typer.Argument(help="The channel's word.")]
SubCode = Annotated[str, typer.Option("--sub-code", help="Left out, every sub-code.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept for ever.")]
KeyFile = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="Your operator key, in a file that only you may read (chmod 600).")
]


@codes.command("list")
def list_codes(
    channel: Channel,
    unmapped: Annotated[bool, typer.Option("--unmapped", help="Those that came and mean nothing yet.")] = False,
    as_json: Json = False,
) -> None:
    """Show a channel's map as it holds now."""
    from hutong import channels

    async def work(tx: db.Tx, now: datetime) -> list[dict[str, Any]]:
        if unmapped:
            found = [asdict(one) for one in await channels.codes.open_unmapped(tx) if one.channel == channel]
            return [{name: _plain(value) for name, value in one.items()} for one in found]
        await channels.codes.load_shipped(tx, now=now)
        return [_document(version) for version in await channels.codes.current_codes(tx, [channel])]

    _show("codes", _run(work), as_json=as_json)


@codes.command("history")
def history(channel: Channel, interface: Interface, code: Code, sub_code: SubCode = "", as_json: Json = False) -> None:
    """Show every meaning that a code has had, newest first, with the proposal that brought it."""
    from hutong import channels

    async def work(tx: db.Tx, now: datetime) -> list[dict[str, Any]]:
        await channels.codes.load_shipped(tx, now=now)
        found = await channels.codes.code_history(
            tx, channel=channel, interface=interface, code=code, sub_code=sub_code
        )
        return [_document(version) for version in found]

    _show("versions", _run(work), as_json=as_json)


@codes.command("propose")
def propose(
    channel: Channel,
    interface: Interface,
    code: Code,
    unified_code: Annotated[str, typer.Option("--unified-code", help="Our one word for it.")],
    state: Annotated[str, typer.Option("--state", help="Such as failed, pending or unknown.")],
    key: KeyFile,
    reason: Reason,
    sub_code: SubCode = "",
    action: Annotated[str, typer.Option("--action", help="What to do next.")] = "none",
    retryable: Annotated[bool, typer.Option("--retryable", help="Trying again may bring another answer.")] = False,
    text_en: Annotated[str, typer.Option("--text-en", help="For the payer.")] = "",
    text_zh: Annotated[str, typer.Option("--text-zh", help="For the payer.")] = "",
    as_json: Json = False,
) -> None:
    """Propose what a code means; it holds once another person has approved it."""
    from hutong import channels, ids, operators
    from hutong.errors import InvalidParameter
    from hutong.ids import Ids

    if state not in set(channels.ChannelState):
        raise InvalidParameter(f"is one of {', '.join(channels.ChannelState)}", param="--state")
    meaning = channels.codes.Meaning(unified_code, channels.ChannelState(state), retryable, action, text_en, text_zh)
    entry = channels.codes.CodeEntry(channel, interface, code, sub_code, meaning)
    proposal_id = Ids(SystemClock()).new()

    async def work(tx: db.Tx, now: datetime) -> operators.Proposal:
        await channels.codes.load_shipped(tx, now=now)
        maker = await operators.authenticate(tx, read_key(key))
        return await channels.codes.propose_code(
            tx, entry, proposal_id=proposal_id, maker_id=maker.operator_id, reason=reason, now=now
        )

    made = _run(work)
    shown = {"proposal_id": ids.encode(operators.PROPOSAL_PREFIX, made.proposal_id), "state": made.state}
    print(json.dumps(shown) if as_json else f"{shown['proposal_id']} waits for another person to approve it")


@codes.command("approve")
def approve(proposal_id: str, key: KeyFile, reason: Reason) -> None:
    """Approve what somebody else has proposed; every process goes by it within seconds."""
    _conclude(proposal_id, key, reason, approve=True)
    print("approved; every process goes by it within seconds")


@codes.command("reject")
def reject(proposal_id: str, key: KeyFile, reason: Reason) -> None:
    """Reject what somebody else has proposed."""
    _conclude(proposal_id, key, reason, approve=False)
    print("rejected")


def run_coverage(*, as_json: bool) -> None:
    """Measure the maps that ship."""
    from hutong import channels

    found = channels.codes.coverage()
    if as_json:
        document = {
            name: {
                "documented": one.documented,
                "mapped": one.mapped,
                "ratio": one.ratio,
                "missing": ["/".join(key) for key in one.missing],
            }
            for name, one in found.items()
        }
        print(json.dumps(document))
        return
    for name, one in found.items():
        share = "nothing listed" if one.ratio is None else f"{one.ratio:.1%}"
        print(f"{name:<12} {one.mapped:>5} of {one.documented:>5} documented codes  {share}")
        for key in one.missing:
            print(f"{'':<12} missing: {' '.join(key)}")


def read_key(path: Path) -> str:
    """Read an operator's key from a file that only its owner may read.

    Errors:
        InvalidParameter: no such file, or not private. What is in it is never repeated.
    """
    from hutong.errors import InvalidParameter

    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidParameter(f"others may read {path}; run: chmod 600 {path}", param="--key")
            return file.read(1024).decode("ascii", "replace").strip()
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror}", param="--key") from error


def _conclude(proposal_id: str, key: Path, reason: str, *, approve: bool) -> None:
    from hutong import channels, ids, operators

    identifier = ids.decode(operators.PROPOSAL_PREFIX, proposal_id)

    async def work(tx: db.Tx, now: datetime) -> None:
        checker = await operators.authenticate(tx, read_key(key))
        decision = operators.ApprovalDecision(identifier, checker.operator_id, approve, reason)
        await operators.conclude(tx, decision, {channels.codes.CHANGE: channels.codes.change_code}, now=now)

    _run(work)


def _run(work: Callable[[db.Tx, datetime], Awaitable[Any]]) -> Any:
    from hutong import config
    from hutong.cli.common import in_transaction

    async def now_work(tx: db.Tx) -> Any:
        return await work(tx, SystemClock().now())

    return in_transaction(config.load(), now_work)


def _document(version: channels.codes.CodeVersion) -> dict[str, Any]:
    from hutong import ids, operators

    proposal_id = version.proposal_id
    return version.entry.document() | {
        "version": version.version,
        "changed_at": version.changed_at.isoformat(),
        "proposal_id": None if proposal_id is None else ids.encode(operators.PROPOSAL_PREFIX, proposal_id),
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _show(name: str, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: rows}))
        return
    for row in rows:
        place = "/".join(part for part in (row["interface"], row["code"], row["sub_code"]) if part)
        if "unified_code" in row:
            print(f"{row['version']:>4}  {place:<40} {row['unified_code']:<28} {row['state']}")
        else:
            print(f"{row['count']:>6} times, last {row['last_seen_at']}  {place}  {row['message']}")
    if not rows:
        print("There is none.")
