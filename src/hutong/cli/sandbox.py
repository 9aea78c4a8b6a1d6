"""`hutong sandbox …`: the simulated channels, and the control of a running sandbox: payers, banks and faults."""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import typer

from hutong.cli.common import load_settings
from hutong.cli.output import print_json, print_line, print_problem

_DIGITS_MAX = 6

sandbox = typer.Typer(invoke_without_command=True)

Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="The simulated channel, such as wechat.")]
Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="Our number at the channel, or the code that payers scan.")
]


@sandbox.callback()
def run(
    context: typer.Context,
    speed: Annotated[float, typer.Option(help="Divides the waits between repeated notifications.")] = 10.0,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the simulated channels alone; with a command, control a running sandbox."""
    if context.invoked_subcommand is None:
        _serve(speed, fd)


@sandbox.command()
def scan(channel: Channel, number: Number) -> None:
    """Scan the code or open the page, as the payer does; some channels know an order only from then on."""
    _post(channel, "scan", _named(number))


@sandbox.command()
def pay(
    channel: Channel,
    number: Number,
    force: Annotated[bool, typer.Option("--force", help="Take the money although the order is closed.")] = False,
    copies: Annotated[int, typer.Option(help="The number of notifications to send at once.")] = 1,
    lose: Annotated[int, typer.Option(help="The number of first notifications to lose.")] = 0,
    delay_ms: Annotated[int, typer.Option(help="Wait before the first notification.")] = 0,
    reorder: Annotated[bool, typer.Option("--reorder", help="Notify after a later notification.")] = False,
    amount_delta_minor: Annotated[int, typer.Option(help="Falsify the amount in the notification by this much.")] = 0,
    named_only: Annotated[
        bool, typer.Option("--named-only", help="Name the payment without stating it, as Stripe's thin events do.")
    ] = False,
    other_account: Annotated[
        bool, typer.Option("--other-account", help="Notify as about another account; at Stripe alone.")
    ] = False,
    coupon: Annotated[
        list[str] | None, typer.Option(help="A coupon by who bears it: channel=700, platform=300 or merchant=1000.")
    ] = None,
) -> None:
    """Pay, as the payer does."""
    coupons = []
    for each in coupon or []:
        funder, _, amount = each.partition("=")
        if not amount.isdecimal() or len(amount) > _DIGITS_MAX:
            raise typer.BadParameter("a coupon is given as FUNDER=MINOR_UNITS", param_hint="--coupon")
        coupons.append({"funder": funder, "amount_minor": int(amount)})
    notify = {
        "copies": copies,
        "lose": lose,
        "delay_ms": delay_ms,
        "reorder": reorder,
        "amount_delta_minor": amount_delta_minor,
        "named_only": named_only,
        "other_account": other_account,
    }
    _post(channel, "pay", _named(number) | {"force": force, "notify": notify, "coupons": coupons})


@sandbox.command()
def decline(channel: Channel, number: Number) -> None:
    """Decline the payment, as the payer's bank does."""
    _post(channel, "decline", _named(number))


@sandbox.command()
def refund(
    channel: Channel,
    number: Number,
    failed: Annotated[bool, typer.Option("--failed", help="Let it fail; by default it succeeds.")] = False,
) -> None:
    """Conclude a pending refund."""
    _post(channel, "refund", {"number": number, "outcome": "failed" if failed else "succeeded"})


@sandbox.command("portal-refund")
def portal_refund(
    channel: Channel,
    number: Number,
    amount_minor: Annotated[int | None, typer.Option(help="By default all that is left.")] = None,
    unnumbered: Annotated[
        bool, typer.Option("--unnumbered", help="Its notification names no number, as Alipay's may.")
    ] = False,
) -> None:
    """Refund an order as a person in the channel's own portal does."""
    _post(channel, "portal", {"order_no": number, "amount_minor": amount_minor, "numbered": not unnumbered})


@sandbox.command("return-refund")
def return_refund(channel: Channel, number: Number) -> None:
    """Let a refund fail that has succeeded, as when the payer's bank returns it."""
    _post(channel, "return", {"number": number})


@sandbox.command()
def dispute(
    channel: Channel,
    number: Number,
    amount_minor: Annotated[int | None, typer.Option(help="By default the whole payment.")] = None,
    reason: Annotated[str | None, typer.Option(help="The channel's own code of the reason.")] = None,
    form: Annotated[str | None, typer.Option(help="The channel's own kind of dispute, such as inquiry.")] = None,
) -> None:
    """Dispute a payment, as the payer does."""
    _post(channel, "dispute", {"order_no": number, "amount_minor": amount_minor, "reason": reason, "form": form})


@sandbox.command("move-dispute")
def move_dispute(
    channel: Channel,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The channel's number of the dispute.")],
    status: Annotated[str, typer.Argument(metavar="STATUS", help="The channel's own status, such as won.")],
) -> None:
    """Bring a dispute to another status, as the payer, the bank or the channel does."""
    _post(channel, "move", {"number": number, "status": status})


@sandbox.command()
def payout(
    channel: Channel,
    number: Number,
    failed: Annotated[bool, typer.Option("--failed", help="Let it fail; by default it succeeds.")] = False,
) -> None:
    """Conclude a pending payout."""
    _post(channel, "payout", {"number": number, "outcome": "failed" if failed else "succeeded"})


@sandbox.command()
def fault(
    channel: Channel,
    interface: Annotated[str, typer.Argument(help="The interface, such as place, query, close or refund.")],
    kind: Annotated[
        str, typer.Argument(help="The fault, such as dropped, reply_lost, paid_reply_lost, error, slow or unsigned.")
    ],
    match: Annotated[str, typer.Option(help="Only calls whose number or description contains this.")] = "",
    times: Annotated[int, typer.Option(help="The number of calls that it affects.")] = 1,
    status: Annotated[int, typer.Option(help="For error: the status.")] = 500,
    code: Annotated[str, typer.Option(help="For error: the channel's code.")] = "SYSTEM_ERROR",
    ms: Annotated[int, typer.Option(help="For slow: how slow.")] = 0,
) -> None:
    """Inject a fault into the next calls of an interface."""
    fields = {"interface": interface, "kind": kind, "match": match, "times": times, "status": status}
    _post(channel, "next", fields | {"code": code, "ms": ms})


@sandbox.command()
def faults(
    channel: Channel,
    latency_ms: Annotated[int | None, typer.Option(help="The delay before every answer.")] = None,
    percent: Annotated[int | None, typer.Option(help="The percentage of calls that fail.")] = None,
    maintenance_ms: Annotated[int | None, typer.Option(help="The duration of a full outage.")] = None,
    auto_pay_ms: Annotated[int | None, typer.Option(help="The delay after which payers pay by themselves.")] = None,
    money_out_ms: Annotated[int | None, typer.Option(help="The delay after which refunds and payouts end.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Refunds and payouts end only by a command.")] = False,
    strict: Annotated[
        bool | None, typer.Option("--strict/--no-strict", help="Whether the channel's published rules are checked.")
    ] = None,
) -> None:
    """Show the faults in force, or change those that last."""
    options = {
        "latency_ms": latency_ms,
        "percent": percent,
        "maintenance_ms": maintenance_ms,
        "auto_pay_ms": auto_pay_ms,
        "money_out_ms": money_out_ms,
        "strict": strict,
    }
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    _post(channel, "faults", changes | ({"money_out_ms": None} if hold else {}))


@sandbox.command()
def reset(channel: Channel) -> None:
    """End all faults."""
    _post(channel, "reset", {})


@sandbox.command()
def rotate(channel: Channel) -> None:
    """Have the channel sign with its next key from now on."""
    _post(channel, "rotate", {})


@sandbox.command()
def bill(
    channel: Channel,
    day: Annotated[str, typer.Argument(metavar="DAY", help="The channel's day, YYYY-MM-DD.")],
    kind: Annotated[str | None, typer.Option(help="Which bill; the channel's first by default.")] = None,
    plant: Annotated[list[str] | None, typer.Option(help="A difference to plant, such as missing=2.")] = None,
    seed: Annotated[int, typer.Option(help="A different seed plants them elsewhere.")] = 0,
) -> None:
    """Close a day and make its bill now, with planted differences; print what was planted."""
    differences = {}
    for difference in plant or []:
        name, _, count = difference.partition("=")
        if not count.isdecimal() or len(count) > _DIGITS_MAX:
            raise typer.BadParameter("a difference is planted as NAME=COUNT", param_hint="--plant")
        differences[name] = int(count)
    _post(channel, "bill", {"day": day, "kind": kind, "differences": differences, "seed": seed})


@sandbox.command()
def show(
    channel: Channel,
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="orders, refunds, payouts, disputes, truth or faults.")
    ] = "truth",
) -> None:
    """Show the channel's records, or its log in order."""
    _print(_call(channel, what, None))


@sandbox.command()
def clock(
    advance_seconds: Annotated[
        int, typer.Option(min=0, max=31_622_400, help="Move the clock forward by so many seconds.")
    ] = 0,
) -> None:
    """Show the sandbox's clock, or move it forward; it never goes back."""
    from hutong import app
    from hutong.clock import SandboxClock, instant

    clock = SandboxClock(app.sandbox_clock_file(load_settings()))
    clock.advance(timedelta(seconds=advance_seconds))
    print_line(f"{instant(clock.now())}, {clock.ahead_ns // 1_000_000_000} s ahead of the machine")


@sandbox.command()
def credentials(
    channel: Channel,
    provider: Annotated[
        bool, typer.Option("--provider", help="Of a merchant under a service provider, which wechat and alipay play.")
    ] = False,
) -> None:
    """Print the credentials of the account at the sandbox, such as for `hutong channels rotate`."""
    from hutong import sandbox as simulators

    settings = load_settings()
    url = f"http://{settings.sandbox_host}:{settings.sandbox_port}"
    make = simulators.provider_accounts if provider else simulators.accounts
    found = make(settings.home / "sandbox", url).get(channel)
    if found is None:
        print_problem(f"hutong: the sandbox has no such account at {channel}")
        sys.exit(2)
    print_json(found)


def _serve(speed: float, fd: int | None) -> None:
    """Simulate channels until interrupted.

    Args:
        speed: Divides the waits between repeated notifications.
        fd: A listening socket inherited from `serve`; without one the configured port is taken.
    """
    from hutong import app
    from hutong import sandbox as simulators

    settings = load_settings()
    app.follow_sandbox_clock(settings)
    if fd is None:
        app.hold_sandbox(settings)
        listener = app.listen(settings, settings.sandbox_host, settings.sandbox_port, "HUTONG_SANDBOX_PORT")
        app.prepare_in_process(settings, sandbox_port=listener.getsockname()[1])
        print_line(f"The sandbox is at http://{settings.sandbox_host}:{listener.getsockname()[1]}")
    else:
        listener = socket.socket(fileno=fd)
        app.await_release("sandbox")

    async def serve() -> None:
        stop = app.stop_event(supervised=fd is not None)
        sandbox_settings = simulators.SandboxSettings(settings.home / "sandbox", speed=speed)
        async with simulators.serve(sandbox_settings, sock=listener):
            await stop.wait()

    app.run(serve())


def _named(number: str) -> dict[str, Any]:
    """Name an order both by our number and by the code that payers scan; the sandbox takes the one it knows."""
    return {"order_no": number, "code_url": number}


def _post(channel: str, verb: str, fields: Mapping[str, Any]) -> None:
    _print(_call(channel, verb, fields))


def _print(answer: Any) -> None:
    print_json(answer, indent=2)


def _call(channel: str, verb: str, fields: Mapping[str, Any] | None) -> Any:
    """Call the sandbox's control API; print to standard error why it refuses (exit 2) or does not answer (exit 1)."""
    settings = load_settings()
    place = "/".join(quote(part, safe="", errors="replace") for part in (channel, verb))
    url = f"http://{settings.sandbox_host}:{settings.sandbox_port}/control/{place}"
    body = None if fields is None else json.dumps(fields).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as refused:
        print_problem(f"hutong: the sandbox refuses: {refused.read().decode(errors='replace')}")
        sys.exit(1 if refused.code >= HTTPStatus.INTERNAL_SERVER_ERROR else 2)
    except OSError as error:
        print_problem(f"hutong: no sandbox answers at {url}: {error}")
    sys.exit(1)
