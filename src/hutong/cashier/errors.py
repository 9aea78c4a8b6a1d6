"""What only the cashier answers."""

from __future__ import annotations

from hutong.errors import Unavailable


class TooManyRequests(Unavailable):
    """One payment's page asks more often than any page of ours does."""

    code = "too_many_requests"
    http_status = 429
