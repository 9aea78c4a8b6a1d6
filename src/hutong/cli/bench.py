"""`hutong bench …`: measurements."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hutong.cli.common import Json

bench = typer.Typer(help="Measurements, each beside a baseline from the same run.", no_args_is_help=True)


@bench.command("payments")
def payments(
    seconds: Annotated[int, typer.Option(min=1, help="How long to measure.")] = 20,
    callers: Annotated[int, typer.Option(min=1, help="Payments in flight at once.")] = 64,
    rate: Annotated[int | None, typer.Option(min=1, help="Payments a second, started by the clock.")] = None,
    as_json: Json = False,
) -> None:
    """Measure payments end to end: create, channel, notification, books, webhook."""
    from hutong.bench import run_bench_payments

    sys.exit(run_bench_payments(seconds=seconds, callers=callers, as_json=as_json, rate=rate))


@bench.command("channels")
def channels(as_json: Json = False) -> None:
    """Measure each adapter without the network: CPU time of a payment call and of a notification."""
    from hutong.bench import run_bench_channels

    sys.exit(run_bench_channels(as_json=as_json))


@bench.command("sweep")
def sweep(
    open_payments: Annotated[
        int, typer.Option("--payments", min=1, max=16_000_000, help="How many open payments there are.")
    ] = 1_000_000,
    due: Annotated[int, typer.Option(min=1, help="How many of them have expired.")] = 50_000,
    as_json: Json = False,
) -> None:
    """Measure the expiry of due payments among very many open ones, under load; show the query plans."""
    from hutong.bench import run_bench_sweep

    sys.exit(run_bench_sweep(open_payments=open_payments, due=due, as_json=as_json))


@bench.command("routing")
def routing(
    seed: Annotated[int | None, typer.Option(help="One simulated world; without it, ten of them.")] = None,
    count: Annotated[int, typer.Option("--payments", min=1_000, help="How many payments a world has.")] = 50_000,
    as_json: Json = False,
) -> None:
    """Compare routing in simulated worlds with static priority, round robin and an oracle."""
    from hutong.bench import run_bench_routing

    seeds = list(range(10)) if seed is None else [seed]
    sys.exit(run_bench_routing(seeds=seeds, payments=count, as_json=as_json))


@bench.command("events")
def events(
    count: Annotated[int, typer.Option("--events", min=10, help="How many events each part delivers.")] = 20_000,
    seconds: Annotated[int, typer.Option(min=1, help="How long to measure the lag at 500 events a second.")] = 20,
    part: Annotated[str | None, typer.Option("--part", help="Only this part: webhooks, broker or query.")] = None,
    baseline_s: Annotated[
        int, typer.Option("--yardstick", min=0, help="Seconds of pgbench for comparison; 0 leaves it out.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """Measure delivery from the outbox to webhooks, to a broker, and to the payment records."""
    from hutong.bench import run_bench_events

    sys.exit(run_bench_events(count=count, seconds=seconds, part=part, yardstick_s=baseline_s, as_json=as_json))


@bench.command("coalescer")
def coalescer(as_json: Json = False) -> None:
    """Compare one transaction per command with joined ones, at 1, 8, 64 and 256 callers."""
    from hutong.bench import run_bench_coalescer

    run_bench_coalescer(as_json=as_json)


@bench.command("ledger")
def ledger(
    accounts: Annotated[int, typer.Option(min=2, help="Among how many accounts.")] = 100_000,
    hot: Annotated[bool, typer.Option("--hot", help="Let one account take part in every transfer.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=8_192, help="Transfers in one call and one commit.")] = 2_048,
    clients: Annotated[int, typer.Option(min=1, help="Connections that book at the same time.")] = 2,
    seconds: Annotated[float, typer.Option(min=1, help="How long each measurement takes.")] = 15,
    transfers: Annotated[int | None, typer.Option(min=1, help="Book this many, however long it takes.")] = None,
    compare_upkeep: Annotated[
        bool, typer.Option("--compare-upkeep", help="Also measure without the worker's upkeep: seals, expiry, days.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure the ledger beside TPC-B and one hot row on the same server; verify the books afterwards."""
    from hutong.bench import run_bench_ledger

    sys.exit(
        run_bench_ledger(
            accounts=accounts, hot=hot, batch=batch, clients=clients, seconds=seconds, transfers=transfers,
            compare_upkeep=compare_upkeep, as_json=as_json,
        )
    )  # fmt: skip


@bench.command("verify")
def verify(
    rows: Annotated[int, typer.Option(min=2, help="How many rows the books have.")] = 10_000_000,
    accounts: Annotated[int, typer.Option(min=2, help="Among how many accounts.")] = 100_000,
    day_rows: Annotated[int, typer.Option(min=1, help="How many of the rows belong to the last day.")] = 1_000_000,
    as_json: Json = False,
) -> None:
    """Measure the proof of the books: of all rows, and of the last day since the head before it."""
    from hutong.bench import run_bench_verify
    from hutong.errors import InvalidParameter

    if day_rows >= rows:
        raise InvalidParameter("the last day must have fewer rows than the books", param="--day-rows")
    sys.exit(run_bench_verify(rows=rows, accounts=accounts, day_rows=day_rows, as_json=as_json))


@bench.command("recon")
def recon(
    rows: Annotated[int, typer.Option(min=1_000, help="Rows of each side.")] = 10_000_000,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=64, help="The bound that each stage is given.")] = 512,
    folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Where the files are made: 1.2 GB for a million rows."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure reconciliation from delivered bills to the books, beside parsing and joining alone, SQL and pandas."""
    from hutong.bench import run_bench_recon

    sys.exit(run_bench_recon(rows=rows, memory_mb=memory_mb, folder=folder, as_json=as_json))


@bench.command("recon-cases")
def recon_cases(
    cases: Annotated[int, typer.Option(min=2, max=20_000, help="How many cases each way of deciding has.")] = 10_000,
    as_json: Json = False,
) -> None:
    """Measure many differences opened, decided by one filter and by one file with wrong lines, and approved."""
    from hutong.bench import run_bench_recon_cases

    sys.exit(run_bench_recon_cases(cases=cases, as_json=as_json))
