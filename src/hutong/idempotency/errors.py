"""Refusals of idempotency keys."""

from __future__ import annotations

from hutong.errors import Conflict, InvalidParameter


class KeyInFlight(Conflict):
    """Another request with this idempotency key is in progress."""

    code = "idempotency_key_in_flight"


class KeyReused(InvalidParameter):
    """The idempotency key was used with a different request."""

    code = "idempotency_key_reused"
