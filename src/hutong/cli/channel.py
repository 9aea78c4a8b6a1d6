"""`hutong channels …`: your accounts at payment channels."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from hutong import export
from hutong.cli.channel_address import register_address
from hutong.cli.codes import codes
from hutong.cli.common import (
    Json,
    check_folder,
    in_transaction,
    load_settings,
    make_ids,
    on_platform,
    read_private_file,
    with_database,
)
from hutong.cli.output import print_json, print_line, print_problem, print_text
from hutong.clock import SystemClock
from hutong.durable_files import move_durably

if TYPE_CHECKING:
    from hutong import app, channels, db
    from hutong.vault import Vault

channel = typer.Typer(help="Payment channels: your accounts there, and what their codes mean.", no_args_is_help=True)
channel.add_typer(codes, name="codes")
channel.command("register-address")(register_address)

ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel, such as wechat.")]
AccountName = Annotated[str, typer.Argument(metavar="NAME", help="Your name of the account.")]
Credentials = Annotated[
    Path, typer.Option("--credentials", metavar="FILE", help="A JSON file that only its owner may read (chmod 600).")
]


@channel.command("add")
def add(name: ChannelName, account: AccountName, credentials: Credentials, as_json: Json = False) -> None:
    """Connect an account at a channel; payments go to it from then on."""
    from hutong import app, channels, ids

    settings = load_settings()
    secrets = _read_credentials(credentials)
    account_id = make_ids(settings).new()
    vault = app.open_vault(settings)

    async def work(tx: db.Tx) -> None:
        await channels.accounts.create_account(
            tx,
            vault,
            account_id=account_id,
            channel=name,
            name=account,
            sandbox=False,
            credentials=secrets,
            now=SystemClock().now(),
        )

    in_transaction(work, settings)
    document = {"account_id": ids.encode("acc", account_id), "channel": name, "name": account}
    if as_json:
        print_json(document)
    else:
        for key, value in document.items():
            print_line(f"{key:<12} {value}")
    address = app.public_url(settings)
    if not address.startswith("https://"):
        print_problem(
            f"Channels will send notifications to {address}, which they cannot reach: "
            "set HUTONG_PUBLIC_URL to the https address of this installation before you serve."
        )


@channel.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List the accounts, without secrets."""
    from hutong import channels

    entries = [_document(entry) for entry in in_transaction(channels.accounts.list_accounts)]
    if as_json:
        print_json({"accounts": entries})
        return
    for entry in entries:
        state = "enabled" if entry["enabled"] else "disabled"
        kind = "sandbox" if entry["sandbox"] else "real"
        print_line(f"{entry['account_id']}  {entry['channel']:<10} {entry['name']:<20} {kind:<8} {state}")
    if not entries:
        print_line("There is no channel account. `hutong channels add` connects one.")


@channel.command("rotate")
def rotate(name: ChannelName, account: AccountName, credentials: Credentials) -> None:
    """Replace all credentials of an account; every process uses the new ones within five seconds."""
    from hutong import app, channels

    settings = load_settings()
    secrets = _read_credentials(credentials)
    vault = app.open_vault(settings)

    async def work(tx: db.Tx) -> None:
        account_id = await _find(tx, name, account)
        now = SystemClock().now()
        await channels.accounts.replace_credentials(tx, vault, account_id=account_id, credentials=secrets, now=now)

    in_transaction(work, settings)
    print_line("replaced; every process uses the new credentials within five seconds")


@channel.command("disable")
def disable(name: ChannelName, account: AccountName) -> None:
    """Send an account no new payments; its existing ones are still polled, closed and notified."""
    _set_enabled(name, account, enabled=False)
    print_line("disabled; existing payments of the account are still polled")


@channel.command("enable")
def enable(name: ChannelName, account: AccountName) -> None:
    """Send an account payments again."""
    _set_enabled(name, account, enabled=True)
    print_line("enabled")


@channel.command("coverage")
def coverage(as_json: Json = False) -> None:
    """Show what share of the codes that each channel documents is mapped."""
    from hutong import channels

    reports = channels.codes.coverage()
    if as_json:
        document = {
            name: {
                "documented": report.documented,
                "mapped": report.mapped,
                "ratio": report.ratio,
                "missing": ["/".join(key) for key in report.missing],
            }
            for name, report in reports.items()
        }
        print_json(document)
        return
    for name, report in reports.items():
        share = "nothing listed" if report.ratio is None else f"{report.ratio:.1%}"
        print_line(f"{name:<12} {report.mapped:>5} of {report.documented:>5} documented codes  {share}")
        for key in report.missing:
            print_line(f"{'':<12} missing: {' '.join(key)}")


@channel.command("bill")
def bill(
    name: ChannelName,
    account: AccountName,
    into: Annotated[Path, typer.Option("--into", metavar="FOLDER", file_okay=False, help="For the channel's files.")],
    day: Annotated[
        datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="The channel's day; yesterday if left out.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Such as trade; left out, the one that reconciliation uses.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch an account's bill of one day, check it against its own totals, and print its rows as CSV.

    A row that cannot be read is an `exception` with its line and its text; `bill-exceptions` lists it from then on.
    Exits 1 if there is none.
    """
    from hutong import app

    settings = load_settings()
    check_folder(into, "--into")
    into.mkdir(parents=True, exist_ok=True)

    async def work(database: db.Database) -> tuple[channels.Bill, list[channels.BillRow]]:
        return await _fetch_bill(database, app.open_vault(settings), name, account, day and day.date(), kind, into)

    fetched, rows = with_database(work, settings)
    if as_json:
        documents = [_row_document(row) for row in rows]
        print_json(_bill_document(fetched) | {"rows": documents})
    else:
        print_text(export.to_csv([_row_document(row) for row in rows]) or ",".join(_ROW_COLUMNS))
        reason = f": {fetched.channel_code} {fetched.channel_message or ''}" if fetched.channel_code else ""
        unread = sum(row.fault is not None for row in rows)
        exceptions = f", {unread} of them not readable" if unread else ""
        print_problem(f"{fetched.kind} {fetched.day}: {fetched.state}, {len(rows)} rows{exceptions}{reason}")
    if fetched.state not in ("ready", "empty"):
        sys.exit(1)


async def _fetch_bill(
    database: db.Database, vault: Vault, name: str, account: str, day: date | None, kind: str | None, into: Path
) -> tuple[channels.Bill, list[channels.BillRow]]:
    from hutong import channels

    clock = SystemClock()
    async with database.transaction() as tx:
        account_id = await _find(tx, name, account)
    async with channels.Http.open() as http:
        adapter = await channels.Accounts(database, vault, http, clock).get(account_id)
        rule = adapter.capabilities.bill
        if rule is None:
            raise channels.NotOffered(f"{name} has no bills")
        yesterday = adapter.capabilities.day_of(clock.now()) - timedelta(days=1)
        with tempfile.TemporaryDirectory(prefix=".bill-", dir=into) as folder:  # the files appear whole or not at all
            fetched = await adapter.download_bill(
                kind or rule.kinds[0], day or yesterday, Path(folder), now=clock.now()
            )
            for file in fetched.files:
                move_durably(file, into / file.name)
        fetched = replace(fetched, files=tuple(into / file.name for file in fetched.files))
        complete = fetched.state in (channels.BillState.READY, channels.BillState.EMPTY)
        rows = list(adapter.read_bill(fetched)) if complete else []
        async with database.transaction() as tx:
            await channels.accounts.keep_bill_exceptions(tx, account_id, fetched, rows, now=clock.now())
        return fetched, rows


@channel.command("bill-exceptions")
def bill_exceptions(
    name: Annotated[str | None, typer.Argument(metavar="CHANNEL", help="The channel; all if left out.")] = None,
    account: Annotated[str | None, typer.Argument(metavar="NAME", help="Your name of the account.")] = None,
    day: Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="The channel's day.")] = None,
    as_json: Json = False,
) -> None:
    """List the rows of bills that could not be read, as the channel wrote them, the latest 1,000."""
    from hutong import channels
    from hutong.errors import InvalidParameter

    if name is not None and account is None:
        raise InvalidParameter("`CHANNEL` takes `NAME`", param="NAME")

    async def work(tx: db.Tx) -> list[dict[str, Any]]:
        account_id = None if name is None or account is None else await _find(tx, name, account)
        found = await channels.accounts.list_bill_exceptions(tx, account_id=account_id, day=day and day.date())
        return [one.document() for one in found]

    found = in_transaction(work)
    if as_json:
        print_json({"exceptions": found})
        return
    for one in found:
        place = f"{one['channel']} {one['account']} {one['kind']} {one['day']} line {one['line_no']}"
        print_line(f"{place}: {one['reason']}")
        print_line(f"    {one['text']}")
    if not found:
        print_line("Every row of the bills that were read could be read.")


@channel.command("adopt-refunds")
def adopt_refunds(
    name: ChannelName,
    account: AccountName,
    day: Annotated[
        datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="The channel's day; yesterday if left out.")
    ] = None,
) -> None:
    """Adopt the refunds of an account's bill that its portal has made, record those that failed after a success, and
    the disputes whose messages were lost.

    The channel is asked about each first. Prints how many rows had each outcome; exits 1 if there is no bill.
    """
    from hutong import app

    settings = load_settings()

    async def work(platform: app.Platform) -> tuple[channels.Bill, Mapping[str, int]]:
        from hutong import payments

        vault = app.open_vault(settings)
        with tempfile.TemporaryDirectory(prefix="hutong-bill-") as folder:
            fetched, rows = await _fetch_bill(
                platform.database, vault, name, account, day and day.date(), None, Path(folder)
            )
        async with platform.database.transaction() as tx:
            account_id = await _find(tx, name, account)
        refunds = await payments.refunds.take_billed_refunds(platform.lifecycle, name, account_id, rows)
        disputes = await payments.disputes.take_billed_disputes(platform.lifecycle, account_id, rows)
        return fetched, refunds | {f"dispute_{outcome}": count for outcome, count in disputes.items()}

    fetched, outcomes = on_platform(work)
    for outcome, count in sorted(outcomes.items()):
        print_line(f"{outcome:<28} {count}")
    if fetched.state not in ("ready", "empty"):
        print_problem(f"{fetched.kind} {fetched.day}: {fetched.state}")
        sys.exit(1)


_ROW_COLUMNS = (
    "kind", "our_no", "channel_no", "original_no", "amount_minor", "currency", "fee_minor", "state", "happened_at",
    "settle_date", "original_channel_no", "line_no", "reason", "text",
    "paid_minor", "settled_minor", "discounts",
)  # fmt: skip


def _row_document(row: channels.BillRow) -> dict[str, Any]:
    fault = row.fault
    values = (
        row.kind.value, row.our_no, row.channel_no, row.original_no, row.amount_minor, row.currency, row.fee_minor,
        row.state, row.happened_at and row.happened_at.isoformat(), row.settle_date and row.settle_date.isoformat(),
        row.original_channel_no, fault and fault.line_no, fault and fault.reason, fault and fault.text,
        row.paid_minor, row.settled_minor, _discounts_text(row),
    )  # fmt: skip
    return dict(zip(_ROW_COLUMNS, values, strict=True))


def _discounts_text(row: channels.BillRow) -> str:
    """Return the discounts of a row as text: who bears each of them, and how much."""
    discounts = () if row.sums is None else row.sums.discounts
    return " ".join(f"{discount.funder or 'unknown'}:{discount.amount_minor}" for discount in discounts)


def _bill_document(fetched: channels.Bill) -> dict[str, Any]:
    return {
        "state": fetched.state.value,
        "kind": fetched.kind,
        "day": fetched.day.isoformat(),
        "files": [str(file) for file in fetched.files],
        "channel_code": fetched.channel_code,
        "channel_message": fetched.channel_message,
    }


def _set_enabled(channel: str, name: str, *, enabled: bool) -> None:
    from hutong import channels

    async def work(tx: db.Tx) -> None:
        account_id = await _find(tx, channel, name)
        await channels.accounts.set_enabled(tx, account_id=account_id, enabled=enabled, now=SystemClock().now())

    in_transaction(work)


def _read_credentials(path: Path) -> dict[str, Any]:
    """Read credentials: a JSON object in a file that only its owner may read.

    Errors:
        InvalidParameter: the file is missing, not private, or not a JSON object. Its content is never repeated.
    """
    from hutong.errors import InvalidParameter

    option = "--credentials"
    try:
        document = json.loads(read_private_file(path, option))
    except ValueError:
        raise InvalidParameter(f"{path} is not JSON", param=option) from None
    if not isinstance(document, dict):
        raise InvalidParameter(f"{path} does not hold a JSON object", param=option)
    return document


async def _find(tx: db.Tx, channel: str, name: str) -> UUID:
    from hutong import channels
    from hutong.errors import NotFound

    account_id = await channels.accounts.find_account(tx, channel=channel, name=name)
    if account_id is None:
        raise NotFound("the channel has no account of this name", param="name")
    return account_id


def _document(entry: channels.accounts.AccountEntry) -> dict[str, Any]:
    from hutong import ids

    return {
        "account_id": ids.encode("acc", entry.account_id),
        "channel": entry.channel,
        "name": entry.name,
        "enabled": entry.enabled,
        "sandbox": entry.sandbox,
        "created_at": entry.created_at.isoformat(),
        "updated_at": entry.updated_at.isoformat(),
    }
