"""The page of the cashier that the demonstration leaves for a visit, kept for the next start in the same folder."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass

from hutong import app
from hutong.demo.merchant import Client
from hutong.durable_files import write_private


@dataclass(frozen=True, slots=True)
class Visit:
    """A payment that is left unpaid.

    Attributes:
        api_key: A key of its merchant, which is the demonstration's own.
        cashier: The address of its page.
    """

    api_key: str
    cashier: str


async def open_visit(client: Client, settings: app.Settings, api_key: str, number: str) -> Visit:
    """Create a payment for a visit and keep its address, in a file that only the owner may read."""
    unpaid = {
        "merchant_order_no": f"{number}-look",
        "amount_minor": 12_800,
        "currency": "CNY",
        "subject": "Have a look",
    }
    visit = Visit(api_key, str((await client.create_payment(api_key, unpaid))["checkout_url"]))
    write_private(app.visit_file(settings), json.dumps(asdict(visit)))
    return visit


def kept_visit(settings: app.Settings) -> Visit | None:
    """Return the latest visit of the data folder; None if there is none."""
    with suppress(OSError, ValueError, TypeError):
        return Visit(**json.loads(app.visit_file(settings).read_text()))
    return None
