"""The address at which a payer comes back to the merchant, with hints for the page there."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

RETURN_ADDRESS_MAX = 256
"""The longest address that every channel takes."""


def return_address(url: str, payment_id: str, status: str | None = None) -> str:
    """Add the payment's id and its status to a merchant's address, as the query parameters `payment_id` and `status`.

    They are hints for a page, and prove nothing: anybody can open the address. The merchant's own query and fragment
    stay as they are, and a parameter that the query has already is not added.

    Args:
        payment_id: The public id.
        status: The status of the payment now; None leaves it out.
    """
    page, mark, fragment = url.partition("#")
    path, _, query = page.partition("?")
    own = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    hints = {"payment_id": payment_id} | ({} if status is None else {"status": status})
    added = urlencode({name: value for name, value in hints.items() if name not in own})
    return f"{path}?{'&'.join(filter(None, [query, added]))}{mark}{fragment}" if added else url


def channel_return_address(url: str, payment_id: str) -> str:
    """Return the address that a channel is given: with the payment's id, unless it is too long for a channel then."""
    hinted = return_address(url, payment_id)
    return hinted if len(hinted) <= RETURN_ADDRESS_MAX else url
