"""A sample of the data of each type of event, for test events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID

from pydantic import BaseModel

from hutong import events, ids
from hutong.api.schemas.event import EVENT_TYPES
from hutong.api.schemas.payment import AttemptObject
from hutong.customers import CUSTOMER_UPDATED
from hutong.errors import InvalidParameter
from hutong.payments import PaymentEventType, disputes, refunds

AMOUNT_MINOR = 1_999

_P, _R, _D = PaymentEventType, refunds.RefundEventType, disputes.DisputeEventType
_SUMS = ("amount_captured_minor", "amount_paid_minor", "amount_settled_minor")
_PAID = {"status": "succeeded", "attempt": "succeeded", "at": ("succeeded_at",)} | dict.fromkeys(_SUMS, AMOUNT_MINOR)
_CLOSED = {"status": "closed", "attempt": "closed", "at": ("closed_at",), "close_reason": "merchant"}

_STATES: Mapping[str, Mapping[str, Any]] = {
    _P.SUCCEEDED: _PAID,
    _P.AUTHORIZED: {
        "status": "requires_capture", "attempt": "authorized", "capture_method": "manual",
        "at": ("authorized_at", "capture_before"),
    },
    _P.CAPTURED: _PAID | {"capture_method": "manual", "at": ("authorized_at", "succeeded_at")},
    _P.CLOSED: _CLOSED,
    _P.ATTEMPT_FAILED: {"status": "requires_payment", "attempt": "failed"},
    _P.SURPLUS: _CLOSED | {"attempt": "succeeded"},
    _P.EXCEPTION_OPENED: {"status": "processing", "attempt": "unknown"},
    _P.EXCEPTION_DECIDED: {"status": "processing", "attempt": "unknown"},
    _R.SURPLUS_REFUNDED: _CLOSED | {"attempt": "succeeded"},
    _R.SUCCEEDED: {"state": "succeeded", "at": ("finished_at",)},
    _R.FAILED: {"state": "failed", "at": ("finished_at",)},
    _R.FAILED_AFTER_SUCCESS: {"state": "failed", "at": ("finished_at", "failed_after_success_at")},
    _R.SUPERSEDED: {"state": "superseded", "at": ("finished_at",)},
    _R.NEEDS_ATTENTION: {"state": "manual"},
    _D.OPENED: {"state": "needs_response", "at": ("due_at",)},
    _D.UPDATED: {"state": "under_review"},
    _D.WON: {"state": "won", "at": ("finished_at",)},
    _D.LOST: {"state": "lost", "at": ("finished_at",)},
    _D.ACCEPTED: {"state": "accepted", "at": ("finished_at",)},
    _D.DUE_SOON: {"state": "needs_response", "at": ("due_at",)},
    _D.OVERDUE: {"state": "needs_response", "at": ("due_at",)},
    CUSTOMER_UPDATED: {},
    events.ENDPOINT_DISABLED: {"enabled": False, "disabled_reason": "failing", "at": ("disabled_at",)},
}  # fmt: skip
_WAITING: Mapping[str, Mapping[str, Any]] = {"payment": {"status": "requires_payment"}}
"""What types of event that are not listed are about."""
_PREFIXES = {"payment": "pay", "refund": "ref", "dispute": "dsp", "webhook_endpoint": "whe"}


def sample_event(
    name: str, merchant_id: UUID, public_url: str, *, new_id: Callable[[], UUID], now: datetime
) -> events.RecordedEvent:
    """Return an event of a type as it would be recorded, about an object that does not exist.

    Errors:
        InvalidParameter: there is no such type.
    """
    found = [one for one in EVENT_TYPES if one.name == name]
    if not found:
        raise InvalidParameter("TYPE is not the type of an event; `hutong events schema` lists them", param="TYPE")
    model, object_id = found[-1].data, new_id()
    kind = get_args(model.model_fields["object"].annotation)[0]
    given = _known(kind, object_id, public_url, new_id, now) | dict(_STATES.get(name, _WAITING.get(kind, {})))
    given |= dict.fromkeys(given.pop("at", ()), now)
    if (state := given.pop("attempt", None)) is not None:
        surplus = name in (_P.SURPLUS, _R.SURPLUS_REFUNDED)
        attempt = {
            "id": ids.encode("att", new_id()), "method": "wechat_native", "channel": "wechat", "state": state,
            "surplus": surplus, "created_at": now, "finished_at": None if state == "unknown" else now,
        }  # fmt: skip
        given["attempts"] = [_filled(AttemptObject, attempt)]
    data = model.model_validate(_filled(model, given)).model_dump_json()
    return events.RecordedEvent(new_id(), name, found[-1].version, merchant_id, object_id, 1, data, now)


def _known(kind: str, object_id: UUID, public_url: str, new_id: Callable[[], UUID], now: datetime) -> dict[str, Any]:
    """Return the fields of an object that a model cannot fill in with nothing."""
    public_id = ids.encode(_PREFIXES[kind], object_id) if kind in _PREFIXES else "test-customer"
    order = f"test-{object_id.hex[-12:]}"
    common = {"id": public_id, "object": kind, "created_at": now, "currency": "CNY", "amount_minor": AMOUNT_MINOR}
    of_payment = {"payment_id": ids.encode("pay", new_id()), "merchant_order_no": order, "channel": "wechat"}
    return {
        "payment": common | {
            "merchant_order_no": order, "capture_method": "automatic", "subject": "Test event",
            "metadata": {"test": "true"}, "expires_at": now + timedelta(minutes=30),
            "checkout_url": f"{public_url}/pay/{public_id}?token=test",
        },
        "refund": common | of_payment | {
            "kind": "refund", "source": "merchant", "route": "original", "merchant_refund_no": f"{order}-R1",
            "amount_paid_minor": AMOUNT_MINOR, "amount_settled_minor": AMOUNT_MINOR, "reason": "Test event",
        },
        "dispute": common | of_payment | {
            "channel_dispute_no": order, "source": "notification", "opened_at": now, "changed_at": now,
            "reason": "test",
        },
        "reconciliation_statement": {
            "object": kind, "day": now.date() - timedelta(days=1), "channels": ["wechat"], "rows": 1, "reconciled": 1,
        },
        "customer": {"id": public_id, "object": kind, "name": "Test event", "updated_at": now},
        "webhook_endpoint": common | {"url": f"{public_url}/test-event", "scheme": "hmac"},
    }[kind]  # fmt: skip


def _filled(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a model that are given, and nothing, 0, or an empty list for the others."""
    return {name: given.get(name, _nothing(field.annotation)) for name, field in model.model_fields.items()}


def _nothing(annotation: Any) -> Any:
    if type(None) in get_args(annotation):
        return None
    return annotation() if annotation in (int, bool) else [] if "list" in str(annotation) else {}
