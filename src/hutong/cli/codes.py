"""`hutong channels codes …`: the meaning of channels' codes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason, T, in_transaction, make_ids, read_key
from hutong.cli.output import print_json, print_line
from hutong.cli.proposals import decide_proposal, show_proposal
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from datetime import datetime

    from hutong import channels, db, operators

codes = typer.Typer(help="What channels' codes mean; a change takes two persons.", no_args_is_help=True)

Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel, such as wechat.")]
Proposal = Annotated[str, typer.Argument(metavar="PROPOSAL", help="The proposal, prp_….")]
Interface = Annotated[str, typer.Argument(help="Such as pay or query; * stands for every interface.")]
Code = Annotated[str, typer.Argument(help="The channel's code.")]
SubCode = Annotated[str, typer.Option("--sub-code", help="By default, every sub-code.")]


@codes.command("list")
def list_codes(
    channel: Channel,
    unmapped: Annotated[bool, typer.Option("--unmapped", help="Received codes that have no meaning yet.")] = False,
    as_json: Json = False,
) -> None:
    """Show a channel's current map."""
    from hutong import channels

    async def work(tx: db.Tx, now: datetime) -> list[dict[str, Any]]:
        if unmapped:
            entries = [asdict(entry) for entry in await channels.codes.open_unmapped(tx) if entry.channel == channel]
            return [{name: _plain(value) for name, value in entry.items()} for entry in entries]
        await channels.codes.load_shipped(tx, now=now)
        return [_document(version) for version in await channels.codes.current_codes(tx, [channel])]

    _show("codes", _run(work), as_json=as_json)


@codes.command("history")
def history(channel: Channel, interface: Interface, code: Code, sub_code: SubCode = "", as_json: Json = False) -> None:
    """Show every meaning that a code has had, newest first, each with its proposal."""
    from hutong import channels

    async def work(tx: db.Tx, now: datetime) -> list[dict[str, Any]]:
        await channels.codes.load_shipped(tx, now=now)
        versions = await channels.codes.code_history(
            tx, channel=channel, interface=interface, code=code, sub_code=sub_code
        )
        return [_document(version) for version in versions]

    _show("versions", _run(work), as_json=as_json)


@codes.command("propose")
def propose(
    channel: Channel,
    interface: Interface,
    code: Code,
    unified_code: Annotated[str, typer.Option("--unified-code", help="Our code for it.")],
    state: Annotated[str, typer.Option("--state", help="Such as failed, pending or unknown.")],
    key: KeyFile,
    reason: Reason,
    sub_code: SubCode = "",
    action: Annotated[str, typer.Option("--action", help="What to do next.")] = "none",
    retryable: Annotated[bool, typer.Option("--retryable", help="A new attempt may have another outcome.")] = False,
    text_en: Annotated[str, typer.Option("--text-en", help="For the payer.")] = "",
    text_zh: Annotated[str, typer.Option("--text-zh", help="For the payer.")] = "",
    as_json: Json = False,
) -> None:
    """Propose the meaning of a code; it takes effect once another person has approved it."""
    from hutong import channels, operators
    from hutong.errors import InvalidParameter

    if state not in set(channels.ChannelState):
        raise InvalidParameter(f"the state must be one of {', '.join(channels.ChannelState)}", param="--state")
    meaning = channels.codes.Meaning(unified_code, channels.ChannelState(state), retryable, action, text_en, text_zh)
    entry = channels.codes.CodeEntry(channel, interface, code, sub_code, meaning)
    proposal_id = make_ids().new()

    async def work(tx: db.Tx, now: datetime) -> operators.Proposal:
        await channels.codes.load_shipped(tx, now=now)
        maker = await operators.authenticate(tx, read_key(key))
        return await channels.codes.propose_code(
            tx, entry, proposal_id=proposal_id, maker_id=maker.operator_id, reason=reason, now=now
        )

    show_proposal(_run(work), as_json=as_json)


@codes.command("approve")
def approve(proposal_id: Proposal, key: KeyFile, reason: Reason) -> None:
    """Approve another person's proposal; every process applies it within seconds."""
    from hutong.channels import codes

    decide_proposal(proposal_id, key, reason, {codes.CHANGE: codes.change_code}, approve=True)
    print_line("approved; every process applies it within seconds")


@codes.command("reject")
def reject(proposal_id: Proposal, key: KeyFile, reason: Reason) -> None:
    """Reject another person's proposal."""
    decide_proposal(proposal_id, key, reason, {}, approve=False)
    print_line("rejected")


def _run(work: Callable[[db.Tx, datetime], Awaitable[T]]) -> T:
    return in_transaction(lambda tx: work(tx, SystemClock().now()))


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
        print_json({name: rows})
        return
    for row in rows:
        place = "/".join(part for part in (row["interface"], row["code"], row["sub_code"]) if part)
        if "unified_code" in row:
            print_line(f"{row['version']:>4}  {place:<40} {row['unified_code']:<28} {row['state']}")
        else:
            print_line(f"{row['count']:>6} times, last {row['last_seen_at']}  {place}  {row['message']}")
    if not rows:
        print_line("There is none.")
