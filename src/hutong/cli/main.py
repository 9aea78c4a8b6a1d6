"""The commands, each imported when it is called: starting must not cost what is not used."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from hutong.cli import streams as _streams  # noqa: F401 - adds its commands to those of events
from hutong.cli.codes import codes
from hutong.cli.events import events
from hutong.cli.ledger import ledger
from hutong.cli.operator import operator
from hutong.cli.parked import park
from hutong.cli.query import query
from hutong.cli.routing.routing import routing
from hutong.cli.sandbox import sandbox
from hutong.errors import HutongError

app = typer.Typer(
    name="hutong",
    help="Hutong: an open-source payment platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
merchant = typer.Typer(help="Merchants and their API keys.", no_args_is_help=True)
payment = typer.Typer(help="Payments and their attempts.", no_args_is_help=True)
database = typer.Typer(help="The embedded database.", no_args_is_help=True)
channel = typer.Typer(help="Payment channels: your accounts there, and what their codes mean.", no_args_is_help=True)
app.add_typer(merchant, name="merchant")
app.add_typer(payment, name="payment")
app.add_typer(channel, name="channels")
app.add_typer(channel, name="channel", hidden=True)  # the same, as it was called at first
channel.add_typer(codes, name="codes")
app.add_typer(database, name="db")
doctor = typer.Typer(invoke_without_command=True)
app.add_typer(doctor, name="doctor")
bench = typer.Typer(help="Measurements, each beside a yardstick from the same run.", no_args_is_help=True)
app.add_typer(bench, name="bench")
drill = typer.Typer(help="Drills: something fails under load, and what happens is shown.", no_args_is_help=True)
app.add_typer(drill, name="drill")
app.add_typer(ledger, name="ledger")
app.add_typer(events, name="events")
events.add_typer(park, name="park")
app.add_typer(sandbox, name="sandbox")
app.add_typer(operator, name="operator")
app.add_typer(query, name="query")
app.add_typer(routing, name="routing")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel, such as wechat.")]
AccountName = Annotated[str, typer.Argument(metavar="NAME", help="Your name of the account.")]
Credentials = Annotated[
    Path, typer.Option("--credentials", metavar="FILE", help="A JSON file that only its owner may read (chmod 600).")
]


@app.command()
def serve(
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Also run simulated channels, and use them.")] = False,
) -> None:
    """Run API, cashier and worker until interrupted."""
    from hutong.app import run_serve

    sys.exit(run_serve(sandbox=sandbox))


@app.command(hidden=True)
def api(
    fd: Annotated[int, typer.Option(help="A listening socket, inherited.")],
) -> None:
    """Run the API and the cashier alone, as `serve` does for each of its processes."""
    from hutong.app import run_api

    run_api(fd)


@app.command()
def worker(supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False) -> None:
    """Run the worker alone: webhooks, queries, expiry."""
    from hutong.app import run_worker

    run_worker(supervised=supervised)


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the database to this version's schema."""
    from hutong import app as root
    from hutong import config, db, search

    settings = config.load()
    with root.using_database(settings) as url:
        applied = db.migrate(url)
    own = root.query_database_url(settings)
    if own is not None:
        applied += [f"{name} (payment records)" for name in db.migrate(own, packages=search.SCHEMA_PACKAGES)]
    if as_json:
        print(json.dumps({"applied": applied}))
    else:
        print("\n".join(applied) if applied else "nothing to do")


@app.command(hidden=True)
def prepare(
    sandbox_url: Annotated[str | None, typer.Option(help="Have an account at the sandbox there.")] = None,
) -> None:
    """Get ready to serve, as `serve` does first."""
    from hutong.cli.serve import run_prepare

    run_prepare(sandbox_url)


@doctor.callback()
def doctor_installation(context: typer.Context, as_json: Json = False) -> None:
    """Check the installation and say what is wrong with it; exits 1 if anything is."""
    if context.invoked_subcommand is None:
        from hutong.cli.doctor import run_doctor

        sys.exit(run_doctor(as_json=as_json))


@doctor.command("channel")
def doctor_channel(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its id (acc_…) or your name of it.")],
    as_json: Json = False,
) -> None:
    """Try a channel account out and name what is wrong with it; exits 1 if anything is. Money is not touched."""
    from hutong.cli.doctor import run_doctor_channel

    sys.exit(run_doctor_channel(account, as_json=as_json))


@app.command()
def demo(
    as_json: Json = False,
    payments: Annotated[int, typer.Option(min=10, help="How many payments to take.")] = 200,
    serve: Annotated[bool, typer.Option("--serve", help="Keep serving afterwards.")] = False,
) -> None:
    """Take payments end to end through the sandbox, check every invariant, show the result."""
    from hutong.demo import run_demo

    sys.exit(run_demo(payments=payments, as_json=as_json, serve=serve))


@drill.command("routing")
def drill_routing(
    as_json: Json = False,
    rate: Annotated[float, typer.Option(min=1, help="Payments a second.")] = 20,
    outage: Annotated[float, typer.Option(min=3, help="For how many seconds the account fails.")] = 20,
) -> None:
    """Make one of three accounts fail under load, then recover; show the traffic leave it and come back."""
    from hutong.demo import run_drill_routing

    sys.exit(run_drill_routing(rate=rate, outage_s=outage, as_json=as_json))


@merchant.command("create")
def merchant_create(
    name: Annotated[str, typer.Argument(help="Shown to payers.")],
    fee_ppm: Annotated[int, typer.Option(help="Our fee, in parts per million of each payment.")] = 0,
    return_origin: Annotated[
        list[str] | None, typer.Option(help="An origin payers may be sent back to; may be repeated.")
    ] = None,
    validity_minutes: Annotated[
        int | None,
        typer.Option(min=1, help="How long payments may be paid where an order does not say; at most the platform's."),
    ] = None,
    keep_fee: Annotated[
        bool, typer.Option("--keep-fee", help="Refunds return nothing of our fee; otherwise its share.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register a merchant and give out its first API key, which is shown this once."""
    from hutong.cli.merchant import run_create

    run_create(name, fee_ppm, tuple(return_origin or ()), validity_minutes, returns_fee=not keep_fee, as_json=as_json)


@merchant.command("overdraft")
def merchant_overdraft(
    merchant_id: str,
    limit_minor: Annotated[int, typer.Argument(min=0, help="In minor units; 0 ends the agreement.")],
    reason: Annotated[str, typer.Option(help="Kept for ever.")],
    by: Annotated[str, typer.Option(help="Who has agreed it.")],
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "CNY",
) -> None:
    """Agree how far refunds may take a merchant's balance below zero."""
    from hutong.cli.merchant import run_overdraft

    run_overdraft(merchant_id, limit_minor, currency, by=by, reason=reason)


@merchant.command("add-key")
def merchant_add_key(merchant_id: str, as_json: Json = False) -> None:
    """Give a merchant one more API key."""
    from hutong.cli.merchant import run_add_key

    run_add_key(merchant_id, as_json=as_json)


@merchant.command("revoke-key")
def merchant_revoke_key(key_id: str) -> None:
    """Take an API key back; it stops working within five seconds."""
    from hutong.cli.merchant import run_revoke_key

    run_revoke_key(key_id)


@payment.command("in-doubt")
def payment_in_doubt(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100, as_json: Json = False
) -> None:
    """List the attempts whose channel owes us a word, oldest first."""
    from hutong.cli.payment import run_in_doubt

    run_in_doubt(limit, as_json=as_json)


@channel.command("add")
def channel_add(name: ChannelName, account: AccountName, credentials: Credentials, as_json: Json = False) -> None:
    """Connect an account at a channel; payments go to it from then on."""
    from hutong.cli.channel import run_add

    run_add(name, account, credentials, as_json=as_json)


@channel.command("list")
def channel_list(as_json: Json = False) -> None:
    """Show the accounts, without what is secret."""
    from hutong.cli.channel import run_list

    run_list(as_json=as_json)


@channel.command("rotate")
def channel_rotate(name: ChannelName, account: AccountName, credentials: Credentials) -> None:
    """Replace an account's credentials whole; every process uses the new ones within five seconds."""
    from hutong.cli.channel import run_rotate

    run_rotate(name, account, credentials)


@channel.command("disable")
def channel_disable(name: ChannelName, account: AccountName) -> None:
    """Send an account no new payments; those it has taken are still asked about, closed and notified."""
    from hutong.cli.channel import run_set_enabled

    run_set_enabled(name, account, enabled=False)


@channel.command("enable")
def channel_enable(name: ChannelName, account: AccountName) -> None:
    """Send an account payments again."""
    from hutong.cli.channel import run_set_enabled

    run_set_enabled(name, account, enabled=True)


@channel.command("coverage")
def channel_coverage(as_json: Json = False) -> None:
    """Measure how many of the codes that each channel documents its map holds."""
    from hutong.cli.codes import run_coverage

    run_coverage(as_json=as_json)


@database.command("stop")
def database_stop() -> None:
    """Stop the embedded PostgreSQL, unless another process uses it."""
    from hutong import config, db

    stopped = db.EmbeddedServer(config.load().home).stop()
    print("stopped" if stopped else "another process uses it; it keeps running")


@database.command("url")
def database_url() -> None:
    """Print the address of the database, password included, for `psql` and other tools.

    The embedded PostgreSQL is started if it is down, and then runs until `hutong db stop`.
    """
    from hutong import config, db

    settings = config.load()
    if settings.database_url is not None:
        print(settings.database_url.get_secret_value())
    else:
        print(db.EmbeddedServer(settings.home).start(keep=True))


@bench.command("payments")
def bench_payments(
    seconds: Annotated[int, typer.Option(min=1, help="How long to measure.")] = 20,
    callers: Annotated[int, typer.Option(min=1, help="Payments on their way at once.")] = 64,
    rate: Annotated[int | None, typer.Option(min=1, help="Payments a second, started by the clock.")] = None,
    as_json: Json = False,
) -> None:
    """The whole way of a payment: create, channel, notification, books, webhook."""
    from hutong.bench import run_bench_payments

    sys.exit(run_bench_payments(seconds=seconds, callers=callers, as_json=as_json, rate=rate))


@bench.command("channels")
def bench_channels(as_json: Json = False) -> None:
    """Each adapter without the network: CPU time of a payment call and of a notification; 200 calls on one pool."""
    from hutong.bench import run_bench_channels

    sys.exit(run_bench_channels(as_json=as_json))


@bench.command("sweep")
def bench_sweep(
    payments: Annotated[int, typer.Option(min=1, max=16_000_000, help="How many open payments there are.")] = 1_000_000,
    due: Annotated[int, typer.Option(min=1, help="How many of them are past their end.")] = 50_000,
    as_json: Json = False,
) -> None:
    """Ending the due ones among very many open payments, while payments keep flowing; shows the plans."""
    from hutong.bench import run_bench_sweep

    sys.exit(run_bench_sweep(open_payments=payments, due=due, as_json=as_json))


@bench.command("routing")
def bench_routing(
    seed: Annotated[int | None, typer.Option(help="One world; without it, ten of them.")] = None,
    payments: Annotated[int, typer.Option(min=1_000, help="How many payments a world has.")] = 50_000,
    as_json: Json = False,
) -> None:
    """Routing in simulated worlds: against static priority, round robin and an oracle that knows the truth."""
    from hutong.bench import run_bench_routing

    seeds = list(range(10)) if seed is None else [seed]
    sys.exit(run_bench_routing(seeds=seeds, payments=payments, as_json=as_json))


@bench.command("events")
def bench_events(
    count: Annotated[int, typer.Option("--events", min=10, help="How many events each part delivers.")] = 20_000,
    seconds: Annotated[int, typer.Option(min=1, help="How long the lag is measured at 500 events a second.")] = 20,
    part: Annotated[str | None, typer.Option("--part", help="Only this one: webhooks, broker or query.")] = None,
    yardstick: Annotated[int, typer.Option(min=0, help="Seconds of pgbench beside it; 0 leaves it out.")] = 10,
    as_json: Json = False,
) -> None:
    """Measure the way from the outbox to webhooks, to a broker, and to payment records."""
    from hutong.bench import run_bench_events

    sys.exit(run_bench_events(count=count, seconds=seconds, part=part, yardstick_s=yardstick, as_json=as_json))


@bench.command("coalescer")
def bench_coalescer(as_json: Json = False) -> None:
    """Two inserts a command: one transaction each against joined ones, at 1, 8, 64 and 256 callers."""
    from hutong.bench import run_bench_coalescer

    run_bench_coalescer(as_json=as_json)


@bench.command("ledger")
def bench_ledger(
    accounts: Annotated[int, typer.Option(min=2, help="Among how many accounts.")] = 100_000,
    hot: Annotated[bool, typer.Option("--hot", help="Let one account take part in every transfer.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=8_192, help="Transfers in one call and one commit.")] = 2_048,
    clients: Annotated[int, typer.Option(min=1, help="Connections that book at the same time.")] = 2,
    seconds: Annotated[float, typer.Option(min=1, help="How long each measurement takes.")] = 15,
    transfers: Annotated[int | None, typer.Option(min=1, help="Book this many, however long it takes.")] = None,
    as_json: Json = False,
) -> None:
    """The ledger beside TPC-B and one hot row on the same server; verifies the books afterwards."""
    from hutong.bench import run_bench_ledger

    sys.exit(
        run_bench_ledger(
            accounts=accounts, hot=hot, batch=batch, clients=clients, seconds=seconds, transfers=transfers,
            as_json=as_json,
        )
    )  # fmt: skip


def main() -> None:
    """Run a command; an error that is meant for people ends it with one line and status 1.

    SIGTERM ends a command as Ctrl-C does, so that it stops what it has started; the processes that serve wait for it
    in their own way.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except HutongError as error:
        where = f" ({error.param})" if error.param else ""
        print(f"hutong: {error.code}: {error.detail}{where}", file=sys.stderr)
        sys.exit(1)
