"""Trace five trips through the running platform: a payment, a notification, a refund, a webhook, a routing decision.

    python docs/ext/trips.py                     a table: files and changes of file of each trip
    python docs/ext/trips.py --json              the same and every step, for programs
    python docs/ext/trips.py --pictures FOLDER   a picture of each trip

Counted are the functions of `src/hutong` that begin during a trip, in order. Left out are the parts that every trip
uses: the database and the vocabulary below it, the values of each `model.py`, special methods (`__init__`),
comprehensions and lambdas. A *change* is a function in another file than the function before it; a package is *entered*
when a change leads to one of its files. `with_floor` has the figures with nothing left out.

Trips are repeated until each is the same twice in a row: by then caches are filled, connections open and statements
prepared. Background jobs wait meanwhile, so that the same tree gives the same figures.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import trip_pictures
from layers import floor, order, package_of
from trip_recorder import Call
from trip_time import StillLoop, slow_down
from trip_world import METHOD, WEBHOOK, World, installation, world

_ROUNDS = 12
_MODELS = "model.py"
_FEW = 2
"""A trip through no more packages than this is shown file by file, any other package by package."""

Legs = list[tuple[str, list[Call]]]
"""The parts of a trip, each with the request or event that begins it."""


async def make(here: World, number: int) -> tuple[dict[str, Legs], dict[str, str]]:
    """Make every trip once; return their calls and their final states."""
    order = {
        "merchant_order_no": f"order-{number}",
        "amount_minor": 1999,
        "currency": "CNY",
        "subject": "Example Store, order 123",
        "method": METHOD,
    }
    path = "/v1/payments"
    payment, create = await here.recorded(path, here.call("POST", path, order))
    ends = {"payment": payment["status"]}
    (attempt,) = payment["attempts"]
    decision_id = attempt["id"].replace("att_", "rtd_")
    decision = await here.call("GET", f"/v1/routing/decisions/{decision_id}", key=here.operator_key)
    ends["routing"] = "chosen" if decision["chosen"] else "refused"

    pay = here.control_channel("pay", {"order_no": attempt["id"]})
    _, notification = await here.recorded("/notifications", pay)
    ends["notification"] = (await here.call("GET", f"{path}/{payment['id']}"))["status"]

    with here.recorder.recording() as deliver:
        await here.worker.run_once()
    ends["webhook"] = await _delivery(here, payment["id"])

    body = {"merchant_refund_no": f"refund-{number}", "amount_minor": 500, "reason": "Returned"}
    refund, ask = await here.recorded("/refunds", here.call("POST", f"{path}/{payment['id']}/refunds", body))
    at_channel = (await here.refunds_at_channel())[-1]
    finish = here.control_channel("refund", {"number": at_channel["refund_no"]})
    _, refunded = await here.recorded("/notifications", finish)
    ends["refund"] = (await here.call("GET", f"/v1/refunds/{refund['id']}"))["state"]

    ways: dict[str, Legs] = {
        "payment": [("POST /v1/payments", create)],
        "notification": [("POST /channels/{account}/notifications", notification)],
        "refund": [
            ("POST /v1/payments/{payment}/refunds", ask),
            ("POST /channels/{account}/notifications", refunded),
        ],
        "webhook": [("A payment succeeds", _within(notification, "events")), ("The worker's next round", deliver)],
        "routing": [("A payment is created", _within(create, "routing", with_callers=True))],
    }
    return ways, ends


async def _delivery(here: World, payment_id: str) -> str:
    """Return the state of the delivery, once the merchant has the event."""
    (event,) = [event for event in here.delivered if event["data"]["id"] == payment_id]
    assert event["type"] == WEBHOOK
    deliveries = await here.call("GET", f"/v1/webhook-endpoints/{here.endpoint_id}/deliveries")
    (delivery,) = [delivery for delivery in deliveries["data"] if delivery["event_id"] == event["id"]]
    return str(delivery["state"])


def _within(calls: Sequence[Call], package: str, *, with_callers: bool = False) -> list[Call]:
    """Return the calls of a package in a trip and the calls that they cause, with their callers if `with_callers`."""
    own = {place for place, call in enumerate(calls) if not call.is_mark and package_of(call.file) == package}
    wanted = own | {place for place, call in enumerate(calls) if own.intersection(call.callers)}
    if with_callers:
        for place in own:
            outside = [above for above in calls[place].callers if above not in own and counted(calls[above])]
            wanted.update(outside[-1:])
    return [call for place, call in enumerate(calls) if place in wanted or calls[place].function in ("begin", "end")]


def counted(call: Call) -> bool:
    """Return whether a call counts in the figures and the pictures."""
    name = call.function.rpartition(".")[2]
    return not (
        call.is_mark
        or package_of(call.file) in floor()
        or Path(call.file).name == _MODELS
        or name.startswith(("<", "__"))
    )


def figures(calls: Iterable[Call]) -> dict[str, int]:
    """Count the distinct files of a trip, and how often the next function is in another file."""
    files = [call.file for call in calls if not call.is_mark]
    return {"files": len(set(files)), "changes": sum(one != other for one, other in pairwise(files))}


def summary(legs: Legs, end: str) -> dict[str, Any]:
    """Summarize a trip for programs and pictures."""
    every = [call for _, calls in legs for call in calls]
    calls = [call for call in every if counted(call)]
    files = [call.file for call in calls]
    names = sorted({package_of(file) for file in files}, key=order().index)
    entries = [after for before, after in pairwise(["", *files]) if before != after]
    packages = {
        name: {
            "files": len({file for file in files if package_of(file) == name}),
            "entered": sum(package_of(file) == name for file in entries),
        }
        for name in names
    }
    return {
        "end": end,
        **figures(calls),
        "packages": packages,
        "with_floor": figures(every),
        "legs": [{"begins": begins, "steps": steps(calls, by_file=len(names) <= _FEW)} for begins, calls in legs],
    }


def steps(calls: Iterable[Call], *, by_file: bool = False) -> list[dict[str, Any]]:
    """Group calls into steps: consecutive calls of one package or file, inside one transaction or outside of any."""
    found: list[dict[str, Any]] = []
    transaction, number = 0, 0
    last: tuple[str, int] | None = None
    for call in calls:
        if call.is_mark:
            if call.function == "begin":
                number += 1
                transaction = number
            elif call.function == "end":
                transaction = 0
            elif found:
                found[-1]["request"] = True
        elif counted(call):
            package = package_of(call.file)
            this = call.file if by_file else package, transaction
            if this != last:
                found.append({"package": package, "transaction": transaction, "request": False, "calls": []})
            last = this
            found[-1]["calls"].append([call.file, call.function])
    return found


def trace() -> dict[str, Any]:
    """Run the platform, make the trips, and summarize each.

    Errors:
        RuntimeError: a trip was never the same twice in a row.
    """
    with installation() as (settings, listener, keys):

        async def run() -> dict[str, Any]:
            found: dict[str, Any] = {}
            async with world(settings, listener, keys) as here:
                last: Mapping[str, Any] = {}
                for number in range(_ROUNDS):
                    ways, ends = await make(here, number)
                    summaries = {name: summary(legs, ends[name]) for name, legs in ways.items()}
                    found |= {name: trip for name, trip in summaries.items() if trip == last.get(name)}
                    if len(found) == len(summaries):
                        return {name: found[name] for name in summaries}
                    last = summaries
            raise RuntimeError(f"never the same twice in a row: {sorted(summaries.keys() - found.keys())}")

        slow_down()
        with asyncio.Runner(loop_factory=StillLoop) as runner:
            return runner.run(run())


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    trips = trace()
    if arguments[:1] == ["--pictures"]:
        for name, trip in trips.items():
            (Path(arguments[1]) / f"{name}-trip.svg").write_text(trip_pictures.draw(name, trip))
    else:
        sys.stdout.write(json.dumps(trips, indent=1) + "\n" if arguments == ["--json"] else trip_pictures.table(trips))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
