"""/v1/disputes: the disputes of a merchant's payments, and the merchant's answers."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from hutong import ids, merchants
from hutong.api.dependencies import Caller, IdempotencyKey, Services, Use, claim_of
from hutong.api.paging import Limit, cut, id_cursor, read_cursor, read_payment_id, rendered_page_answer
from hutong.api.problems import replayed, responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import rendered_answer, stored_answer
from hutong.api.schemas.dispute import DisputeAcceptance, DisputeAnswer, DisputeList, DisputeObject
from hutong.api.schemas.fields import example_body
from hutong.errors import NotFound
from hutong.idempotency import StoredAnswer
from hutong.payments import disputes

router = APIRouter(prefix="/v1/disputes", tags=["Disputes"], route_class=StrictRoute)

_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {
        "model": DisputeObject,
        "description": "The channel has not decided about the answer; it is sent again until it has.",
        **replayed(202)[202],
    },
    **replayed(200),
}


@router.get("", response_model=DisputeList, responses=responses(400, 401, 422, 503), summary="List disputes")
async def list_disputes(
    use: Use,
    merchant: Caller,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("dsp")] = None,
    state: Annotated[disputes.DisputeState | None, Query(description="Only disputes in this state.")] = None,
    payment_id: Annotated[str | None, Query(description="Only disputes of this payment.")] = None,
) -> Response:
    """Return the disputes of your payments, newest first."""
    after = read_cursor("dsp", cursor)
    payment = None if payment_id is None else read_payment_id(payment_id)
    async with use.database.transaction() as tx:
        entries = await disputes.list_disputes(
            tx, merchant_id=merchant.merchant_id, state=state, payment_id=payment, after=after, limit=limit + 1
        )
    page, next_cursor = cut(entries, limit, lambda dispute: ids.encode("dsp", dispute.dispute_id))
    return rendered_page_answer((use.answers.dispute(dispute) for dispute in page), next_cursor)


@router.get(
    "/{dispute_id}", response_model=DisputeObject, responses=responses(400, 401, 404, 503), summary="Get a dispute"
)
async def get_dispute(use: Use, merchant: Caller, dispute_id: str) -> Response:
    """Return one dispute, as last committed."""
    return rendered_answer(use.answers.dispute(await _own_dispute(use, merchant, dispute_id)))


@router.post(
    "/{dispute_id}/respond",
    response_model=DisputeObject,
    responses=_ANSWERS
    | responses(
        404,
        codes="idempotency_key_in_flight idempotency_key_reused dispute_answers_exceeded dispute_ended "
        "dispute_evidence_refused dispute_response_in_progress dispute_response_not_offered",
    ),
    summary="Answer a dispute",
)
async def respond_to_dispute(
    use: Use,
    merchant: Caller,
    dispute_id: str,
    body: Annotated[DisputeAnswer, example_body(DisputeAnswer)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send an answer to the channel.

    It is written first and sent then, under one number. The last of `responses` has what the channel has decided:
    `taken`, `refused` with its code, or `sending` while there is no proven answer.
    """
    return await _respond(use, merchant, dispute_id, "respond", idempotency_key, body, body.evidence, accepts=False)


@router.post(
    "/{dispute_id}/accept",
    response_model=DisputeObject,
    responses=_ANSWERS
    | responses(
        404,
        codes="idempotency_key_in_flight idempotency_key_reused dispute_answers_exceeded dispute_ended "
        "dispute_evidence_refused dispute_response_in_progress dispute_response_not_offered",
    ),
    summary="Accept a dispute",
)
async def accept_dispute(
    use: Use,
    merchant: Caller,
    dispute_id: str,
    body: Annotated[DisputeAcceptance, example_body(DisputeAcceptance)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Give in to the payer or, for a complaint, state that the matter is settled. It cannot be taken back."""
    return await _respond(use, merchant, dispute_id, "accept", idempotency_key, body, body.evidence, accepts=True)


async def _respond(
    use: Services,
    merchant: merchants.Merchant,
    dispute_id: str,
    verb: str,
    key: str | None,
    body: BaseModel,
    evidence: dict[str, str],
    *,
    accepts: bool,
) -> Response:
    claim = claim_of(merchant, key, f"POST /v1/disputes/{dispute_id}/{verb}", body)
    dispute = await _own_dispute(use, merchant, dispute_id)
    command = disputes.Respond(dispute.dispute_id, evidence, accepts, claim)
    result = await use.lifecycle.responses.respond(command, use.answers.responded)
    return stored_answer(result if isinstance(result, StoredAnswer) else use.answers.responded(result))


async def _own_dispute(use: Services, merchant: merchants.Merchant, dispute_id: str) -> disputes.Dispute:
    identifier: UUID = ids.decode("dsp", dispute_id)
    async with use.database.transaction() as tx:
        found = await disputes.find_disputes(tx, [identifier], merchant_id=merchant.merchant_id)
    if identifier not in found:
        raise NotFound("no dispute has this id")
    return found[identifier]
