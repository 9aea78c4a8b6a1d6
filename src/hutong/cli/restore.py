"""`hutong restore …`: what to do after the database was restored to an earlier time."""

from __future__ import annotations

import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, on_platform, with_database
from hutong.cli.output import print_json, print_line, print_problem
from hutong.cli.tables import print_table
from hutong.errors import InvalidParameter

if TYPE_CHECKING:
    from hutong import app, db

restore = typer.Typer(help="Catching up after a restore of the database.", no_args_is_help=True)

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept permanently.")]


@restore.command("status")
def status(as_json: Json = False) -> None:
    """Show whether the platform is catching up after a restore, and the numbers that only the channels know."""
    from hutong import payments

    async def work(database: db.Database) -> dict[str, Any]:
        async with database.transaction() as tx:
            return await payments.restored.catch_up_document(tx)

    shown = with_database(work)
    if as_json:
        print_json(shown)
        return
    if shown["mode"] == "normal":
        print_line("normal work")
    else:
        print_line(f"catching up since {shown['since']} ({shown['reason']})")
        print_line(f"without an answer yet: {shown['attempts_unasked']} attempts, {shown['refunds_unasked']} refunds")
        if shown["lost_since"] is None:
            print_line("the begin of the lost time is not known: normal work begins when you say so")
        else:
            print_line(f"lost time since {shown['lost_since']}, bills to read: {len(shown['bills_unread'])}")
            print_table(shown["bills_unread"])
    print_table(shown["unknown_numbers"])


@restore.command("begin")
def begin(
    reason: Reason,
    lost_since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z"],
            help="The time to which the database was restored, or earlier; with it, normal work begins by itself.",
        ),
    ] = None,
) -> None:
    """Begin to catch up, after a restore that could not be noticed, such as of a whole machine."""
    from hutong import db
    from hutong.clock import SystemClock

    _require_reason(reason)
    now = SystemClock().now()
    if lost_since is not None and lost_since > now:
        raise InvalidParameter("`--lost-since` is in the future", param="--lost-since")
    noticed = db.CatchUpReason.OPERATOR
    with_database(lambda d: d.run(lambda tx: db.begin_catch_up(tx, noticed, now=now, lost_since=lost_since)))
    print_line("catching up; restart Hutong, or wait a few seconds")


@restore.command("adopt")
def adopt(
    number: Annotated[
        str | None,
        typer.Argument(metavar="[NUMBER]", help="A number of `status`; without one, all that are known by now."),
    ] = None,
    merchant: Annotated[str | None, typer.Option(metavar="MERCHANT", help="The merchant, mer_….")] = None,
    order_no: Annotated[str | None, typer.Option(metavar="NO", help="The merchant's order number.")] = None,
    method: Annotated[str | None, typer.Option(metavar="METHOD", help="How the order was paid.")] = None,
    refund_no: Annotated[str | None, typer.Option(metavar="NO", help="The merchant's refund number.")] = None,
) -> None:
    """Bring an order or a refund that a channel has reported into the database.

    The number proves whose it is: it follows from the merchant's own number, so a wrong one is refused.
    """
    from hutong import merchants
    from hutong.errors import NotFound

    if number is None:
        count = on_platform(lambda platform: platform.adoption.adopt_known())
        print_line(f"{count} adopted")
        return
    if merchant is None or order_no is None:
        raise InvalidParameter("`--merchant` and `--order-no` are required with a number", param="--merchant")
    if (method is None) is (refund_no is None):
        raise InvalidParameter("give `--method` for an order, or `--refund-no` for a refund", param="--method")

    async def work(platform: app.Platform) -> str:
        from hutong import ids, payments

        async with platform.database.transaction() as tx:
            merchant_id = ids.decode("mer", merchant)
            found = (await merchants.find_merchants(tx, [merchant_id])).get(merchant_id)
            if found is None:
                raise NotFound("no merchant has this id", param="--merchant")
            existing = await payments.list_payments(tx, found.merchant_id, merchant_order_no=order_no, limit=1)
        if method is not None:
            order = payments.restored.LostOrder(found.merchant_id, order_no, method, found.fee_ppm)
            payment = await platform.adoption.adopt_order(number, order)
            return f"{ids.encode('pay', payment.payment_id)} is {payment.status.value}"
        if not existing or refund_no is None:
            raise NotFound("the merchant has no payment of this order; adopt the order first", param="--order-no")
        await platform.adoption.adopt_refund(number, existing[0], refund_no, returns_fee=found.returns_fee)
        return f"{number} is recorded"

    print_line(on_platform(work))


@restore.command("bills")
def bills(
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="The channel's day; every lost day if left out."),
    ] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ACCOUNT", help="The account, acc_….")] = None,
) -> None:
    """Read the channels' bills of the lost days, and list the numbers in them that the database does not know.

    Nothing is credited: `adopt` asks the channel about each. Exits 1 if a bill could not be read.
    """
    from hutong import ids
    from hutong.errors import HutongError

    if day is not None and account is None:
        raise InvalidParameter("`--day` takes `--account`", param="--account")

    async def work(platform: app.Platform) -> bool:
        from hutong import payments

        async with platform.database.transaction() as tx:
            shown = await payments.restored.catch_up_document(tx)
        wanted = [(bill["account"], date.fromisoformat(bill["day"])) for bill in shown["bills_unread"] or []]
        if day is not None and account is not None:
            wanted = [(account, day.date())]
        complete = True
        for name, bill_day in wanted:
            if account not in (None, name):
                continue
            try:
                found = await payments.restored.read_bill(
                    platform.database, platform.accounts, ids.decode("acc", name), bill_day, clock=platform.clock
                )
            except HutongError as error:
                complete = False
                print_problem(f"{name} {bill_day}: {error}")
            else:
                counts = f"{found.rows} payments and refunds, {len(found.unknown)} unknown, {found.foreign} not ours"
                counts += f", {found.exceptions} rows not readable" if found.exceptions else ""
                print_line(f"{name} {bill_day}: {counts}")
        return complete

    if not on_platform(work):
        sys.exit(1)


@restore.command("dismiss")
def dismiss(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="A number of `status`.")],
    reason: Reason,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")] = "operator",
) -> None:
    """Take a number off the list that is not to be adopted, such as one that the channel does not confirm."""
    from hutong import payments
    from hutong.clock import SystemClock

    _require_reason(reason)
    now = SystemClock().now()
    with_database(
        lambda d: d.run(lambda tx: payments.restored.dismiss_number(tx, number, by=by, reason=reason, now=now))
    )
    print_line("dismissed")


@restore.command("dismiss-bill")
def dismiss_bill(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account, acc_….")],
    day: Annotated[datetime, typer.Argument(metavar="DAY", formats=["%Y-%m-%d"], help="The channel's day.")],
    reason: Reason,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")] = "operator",
) -> None:
    """Continue without a bill that `status` lists, such as that of an account that was closed."""
    from hutong import ids, payments
    from hutong.clock import SystemClock

    _require_reason(reason)
    account_id, now = ids.decode("acc", account), SystemClock().now()
    with_database(
        lambda d: d.run(
            lambda tx: payments.restored.dismiss_bill(tx, account_id, day.date(), by=by, reason=reason, now=now)
        )
    )
    print_line("dismissed")


@restore.command("finish")
def finish(
    reason: Reason, by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")] = "operator"
) -> None:
    """End the catch-up: what was open before the restore is sent, and webhooks and streams go on."""
    from hutong import db
    from hutong.clock import SystemClock
    from hutong.errors import Conflict

    _require_reason(reason)
    now = SystemClock().now()
    ended = with_database(lambda d: d.run(lambda tx: db.finish_catch_up(tx, by=by, reason=reason, now=now)))
    if ended is None:
        raise Conflict("the platform is not catching up")
    print_line("normal work begins")


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidParameter("`--reason` must not be empty", param="--reason")
