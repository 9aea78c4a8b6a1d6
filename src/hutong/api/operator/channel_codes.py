"""/v1/operator/channel-codes: the meanings of channels' codes, and the codes that have none yet."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, Strict
from starlette.responses import Response

from hutong import channels, db, ids, operators
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.approvals import ProposalObject, proposal_document
from hutong.api.paging import list_answer
from hutong.api.problems import responses
from hutong.api.requests import OptionalText, StrictRoute, Text
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import ListObject, Reason, example_body
from hutong.clock import instant

router = APIRouter(prefix="/v1/operator/channel-codes", tags=["Operators"], route_class=StrictRoute)

Channel = Annotated[str, Query(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="The channel, such as `wechat`.")]


class _Code(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    channel: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    interface: str = Field(pattern=r"^(\*|[a-z][a-z0-9_]{0,63})$", description="`*` stands for every interface.")
    code: Text = Field(min_length=1, max_length=128, description="The channel's own code.")
    sub_code: OptionalText = Field(max_length=128, description="Empty stands for every sub-code.")
    unified_code: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="The unified code.")
    state: Annotated[channels.ChannelState, Strict(False)]
    retryable: bool
    action: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="The next step.")
    text_en: OptionalText = Field(max_length=500, description="The text for the payer, in English.")
    text_zh: OptionalText = Field(max_length=500, description="The same in Chinese.")


class ChannelCodeCreate(_Code, Reason):
    """A meaning of a code to propose."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": "wechat",
                    "interface": "refund",
                    "code": "NOT_ENOUGH",
                    "sub_code": "",
                    "unified_code": "channel_balance_insufficient",
                    "state": "failed",
                    "retryable": True,
                    "action": "alert",
                    "text_en": "The refund is delayed.",
                    "text_zh": "退款延迟。",
                    "reason": "the channel has called",
                }
            ]
        }
    )


class ChannelCodeObject(_Code):
    """The meaning of a code."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": "wechat",
                    "interface": "pay",
                    "code": "NEW_CODE",
                    "sub_code": "",
                    "unified_code": "risk_refused",
                    "state": "failed",
                    "retryable": False,
                    "action": "change_method",
                    "text_en": "This payment method cannot be used now.",
                    "text_zh": "暂时无法使用该支付方式。",
                    "version": 2,
                    "changed_at": "2026-11-21T10:42:07.123456Z",
                    "proposal_id": "prp_01kanf39z6e8rvqv6dkc35j5c1",
                }
            ]
        }
    )

    version: int = Field(description="The version of the channel's map that introduced this meaning.")
    changed_at: datetime
    proposal_id: str | None = Field(
        description="The proposal that introduced it; null for codes that the program ships."
    )


class ChannelCodeList(ListObject):
    """Entries of a channel's map."""

    data: list[ChannelCodeObject]


class UnmappedCodeObject(BaseModel):
    """A code without a meaning. Attempts that got it stay `unknown` until the channel gives another answer."""

    channel: str
    interface: str
    code: str
    sub_code: str
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
    message: str = Field(description="The channel's latest message with this code.")


class UnmappedCodeList(ListObject):
    """Codes without a meaning, latest first."""

    data: list[UnmappedCodeObject]


@router.get(
    "", response_model=ChannelCodeList, responses=responses(400, 401, 422, 503), summary="List a channel's codes"
)
async def list_channel_codes(use: Use, _operator: Acting, channel: Channel) -> Response:
    """List the current map of a channel."""
    async with use.database.transaction() as tx:
        versions = await channels.codes.current_codes(tx, [channel])
    return list_answer(_document(version) for version in versions)


@router.get(
    "/history",
    response_model=ChannelCodeList,
    responses=responses(400, 401, 422, 503),
    summary="List the versions of a code",
)
async def list_channel_code_versions(
    use: Use,
    _operator: Acting,
    channel: Channel,
    interface: Annotated[str, Query(pattern=r"^(\*|[a-z][a-z0-9_]{0,63})$")],
    code: Annotated[Text, Query(min_length=1, max_length=128)],
    sub_code: Annotated[OptionalText, Query(max_length=128)] = "",
) -> Response:
    """List every meaning that a code has had, newest first."""
    async with use.database.transaction() as tx:
        versions = await channels.codes.code_history(
            tx, channel=channel, interface=interface, code=code, sub_code=sub_code
        )
    return list_answer(_document(version) for version in versions)


@router.get(
    "/unmapped",
    response_model=UnmappedCodeList,
    responses=responses(400, 401, 422, 503),
    summary="List codes without a meaning",
)
async def list_unmapped_codes(use: Use, _operator: Acting) -> Response:
    """List the codes without a meaning, latest first. A code leaves the list when it gets a meaning."""
    async with use.database.transaction() as tx:
        unmapped = await channels.codes.open_unmapped(tx)
    return list_answer(
        asdict(code) | {"first_seen_at": instant(code.first_seen_at), "last_seen_at": instant(code.last_seen_at)}
        for code in unmapped
    )


@router.post(
    "",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 413, 415, 422, 503),
    summary="Propose the meaning of a code",
)
async def propose_channel_code(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[ChannelCodeCreate, example_body(ChannelCodeCreate)],
) -> Response:
    """Propose the meaning of a code; takes the role `operator`. It applies once a second person has approved it."""
    entry = channels.codes.CodeEntry.read(body.model_dump())
    proposal_id = use.ids.new()

    async def work(tx: db.Tx) -> operators.Proposal:
        return await channels.codes.propose_code(
            tx,
            entry,
            proposal_id=proposal_id,
            maker_id=operator.operator_id,
            reason=body.reason,
            now=use.clock.now(),
            request_id=request_id(request),
        )

    return json_answer(proposal_document(await use.database.run(work)), 201)


def _document(version: channels.codes.CodeVersion) -> dict[str, Any]:
    proposal_id = version.proposal_id
    return version.entry.document() | {
        "version": version.version,
        "changed_at": instant(version.changed_at),
        "proposal_id": None if proposal_id is None else ids.encode(operators.PROPOSAL_PREFIX, proposal_id),
    }
