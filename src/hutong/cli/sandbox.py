"""`hutong sandbox …`: plays payers and banks at a running sandbox, and tells its channels to misbehave."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Annotated, Any

import typer

sandbox = typer.Typer(invoke_without_command=True)

Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="The simulated channel, such as wechat.")]
Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Our number there, or the code that payers scan.")]


@sandbox.callback()
def run(
    context: typer.Context,
    speed: Annotated[float, typer.Option(help="Divides the waits between notification tries.")] = 10.0,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the simulated channels alone; or, with a command, tell a running sandbox what to do."""
    if context.invoked_subcommand is None:
        from hutong.cli.serve import run_sandbox

        run_sandbox(speed, fd)


@sandbox.command()
def scan(channel: Channel, number: Number) -> None:
    """The payer scans the code, or opens the page; some channels know an order only from then on."""
    _tell(channel, "scan", _named(number))


@sandbox.command()
def pay(
    channel: Channel,
    number: Number,
    force: Annotated[bool, typer.Option("--force", help="Take the money although the order is closed.")] = False,
    copies: Annotated[int, typer.Option(help="Notify so many times at once.")] = 1,
    lose: Annotated[int, typer.Option(help="Lose so many of the first notifications.")] = 0,
    delay_ms: Annotated[int, typer.Option(help="Wait before the first notification.")] = 0,
    reorder: Annotated[bool, typer.Option("--reorder", help="Notify after a later notification.")] = False,
    amount_delta_minor: Annotated[int, typer.Option(help="Tell another amount in the notification.")] = 0,
) -> None:
    """The payer pays."""
    notify = {
        "copies": copies,
        "lose": lose,
        "delay_ms": delay_ms,
        "reorder": reorder,
        "amount_delta_minor": amount_delta_minor,
    }
    _tell(channel, "pay", _named(number) | {"force": force, "notify": notify})


@sandbox.command()
def decline(channel: Channel, number: Number) -> None:
    """The payer's bank declines."""
    _tell(channel, "decline", _named(number))


@sandbox.command()
def refund(
    channel: Channel,
    number: Number,
    failed: Annotated[bool, typer.Option("--failed", help="It fails.")] = False,
) -> None:
    """A refund under way ends."""
    _tell(channel, "refund", {"number": number, "outcome": "failed" if failed else "succeeded"})


@sandbox.command()
def payout(
    channel: Channel,
    number: Number,
    failed: Annotated[bool, typer.Option("--failed", help="It fails.")] = False,
) -> None:
    """A payout under way ends."""
    _tell(channel, "payout", {"number": number, "outcome": "failed" if failed else "succeeded"})


@sandbox.command()
def fault(
    channel: Channel,
    interface: Annotated[str, typer.Argument(help="What is called: place, query, close, refund, …")],
    kind: Annotated[str, typer.Argument(help="dropped, reply_lost, paid_reply_lost, error, slow, unsigned, …")],
    match: Annotated[str, typer.Option(help="Only calls whose number or description holds this.")] = "",
    times: Annotated[int, typer.Option(help="For so many calls.")] = 1,
    status: Annotated[int, typer.Option(help="For error: the status.")] = 500,
    code: Annotated[str, typer.Option(help="For error: the channel's code.")] = "SYSTEM_ERROR",
    ms: Annotated[int, typer.Option(help="For slow: how slow.")] = 0,
) -> None:
    """The next calls of an interface meet a fault."""
    fields = {"interface": interface, "kind": kind, "match": match, "times": times, "status": status}
    _tell(channel, "next", fields | {"code": code, "ms": ms})


@sandbox.command()
def faults(
    channel: Channel,
    latency_ms: Annotated[int | None, typer.Option(help="Before every answer.")] = None,
    percent: Annotated[int | None, typer.Option(help="So many of a hundred calls fail.")] = None,
    maintenance_ms: Annotated[int | None, typer.Option(help="Nothing works for so long.")] = None,
    auto_pay_ms: Annotated[int | None, typer.Option(help="Payers pay by themselves after so long.")] = None,
    money_out_ms: Annotated[int | None, typer.Option(help="Refunds and payouts end after so long.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Refunds and payouts end only when told to.")] = False,
) -> None:
    """Show the faults in force, or change those that last."""
    given = {
        "latency_ms": latency_ms,
        "percent": percent,
        "maintenance_ms": maintenance_ms,
        "auto_pay_ms": auto_pay_ms,
        "money_out_ms": money_out_ms,
    }
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _tell(channel, "faults", changed | ({"money_out_ms": None} if hold else {}))


@sandbox.command()
def reset(channel: Channel) -> None:
    """No more faults."""
    _tell(channel, "reset", {})


@sandbox.command()
def rotate(channel: Channel) -> None:
    """The channel signs with its next key from now on."""
    _tell(channel, "rotate", {})


@sandbox.command()
def bill(
    channel: Channel,
    day: Annotated[str, typer.Argument(metavar="DAY", help="The channel's day, YYYY-MM-DD.")],
    kind: Annotated[str | None, typer.Option(help="Which bill; the channel's first by default.")] = None,
    plant: Annotated[list[str] | None, typer.Option(help="A difference to plant, such as missing=2.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed plants them elsewhere.")] = 0,
) -> None:
    """Close a day and make its bill now, with planted differences; prints their key."""
    differences = {}
    for wish in plant or []:
        name, _, count = wish.partition("=")
        if not count.isdecimal():
            raise typer.BadParameter("a difference is planted as NAME=COUNT")
        differences[name] = int(count)
    _tell(channel, "bill", {"day": day, "kind": kind, "differences": differences, "seed": seed})


@sandbox.command()
def show(
    channel: Channel,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="orders, refunds, payouts, truth or faults.")] = "truth",
) -> None:
    """What the channel knows, or what it did, in order."""
    _print(_call(channel, what, None))


def _named(number: str) -> dict[str, Any]:
    """An order by our number or by what payers scan; the sandbox takes whichever it knows."""
    return {"order_no": number, "code_url": number}


def _tell(channel: str, verb: str, fields: Mapping[str, Any]) -> None:
    _print(_call(channel, verb, fields))


def _print(answer: Any) -> None:
    print(json.dumps(answer, ensure_ascii=False, indent=2))


def _call(channel: str, verb: str, fields: Mapping[str, Any] | None) -> Any:
    """One call to the sandbox's control API; what it refuses goes to standard error, with status 1."""
    from hutong import config

    settings = config.load()
    url = f"http://{settings.sandbox_host}:{settings.sandbox_port}/control/{channel}/{verb}"
    body = None if fields is None else json.dumps(fields).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as refused:
        print(f"hutong: the sandbox refuses: {refused.read().decode(errors='replace')}", file=sys.stderr)
    except OSError as error:
        print(f"hutong: no sandbox answers at {url}: {error}", file=sys.stderr)
    sys.exit(1)
