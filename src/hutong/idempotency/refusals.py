"""The effect of each refusal on the idempotency key that it is given under: the one list, by error code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class KeyEffect(StrEnum):
    """Effects of a refusal on its key."""

    KEPT = "kept"
    """Nothing that happens later changes the refusal, so it stays the answer of the key."""
    FREED = "freed"
    """Time may cure it: the key is free in the moment of the answer, and the same request may succeed under it."""
    UNTOUCHED = "untouched"
    """It is given before a key is claimed, or where none is taken: the key stays as it was."""


_CODES = {
    KeyEffect.KEPT: """
        order_no_reused partial_refund_not_offered refund_by_item_only refund_no_reused refund_not_offered
        refund_window_closed unknown_refund_item
    """,
    KeyEffect.FREED: """
        channel_unreachable configuration_error credentials_unreadable dispute_answers_exceeded dispute_ended
        dispute_evidence_refused dispute_response_in_progress dispute_response_not_offered
        insufficient_merchant_funds internal_error invariant_broken no_route outcome_unknown overloaded
        payment_not_refundable refund_count_exceeded refund_exceeds_available refund_quantity_exceeded
        same_day_refund_not_offered unavailable
    """,
    KeyEffect.UNTOUCHED: """
        api_key_expired attempt_in_progress bill_refused body_too_large capture_exceeds_authorized
        capture_in_progress channel_verb_not_offered conflict discount_exceeds_item dispute_not_entered
        event_archived events_archived exception_not_decidable foreign_origin idempotency_key_in_flight
        idempotency_key_reused invalid_json invalid_parameter invalid_request items_do_not_add_up
        manual_capture_not_offered merchant_disabled method_not_allowed method_unknown missing_parameter
        not_found not_permitted notification_mismatch notification_refused notification_replayed own_proposal
        partial_capture_not_offered payment_already_succeeded payment_not_capturable payment_not_payable
        proposal_closed refund_route_refused routing_configuration_refused routing_decision_not_found
        routing_rules_refused routing_trial_undecided sandbox_only scope_missing search_too_wide
        too_many_requests unauthorized unknown_parameter unsupported_media_type
    """,
}

KEY_EFFECTS: Mapping[str, KeyEffect] = {code: effect for effect, codes in _CODES.items() for code in codes.split()}
"""Every error code with its effect."""
