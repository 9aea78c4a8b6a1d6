"""/v1/operator/channel-codes: what channels' codes mean, and those that mean nothing yet."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hutong import channels, db, ids, operators
from hutong.api.dependencies import Acting, Use, json_answer
from hutong.api.operator.approvals import ProposalObject, proposal_document, request_id
from hutong.api.problems import responses
from hutong.api.schemas import payment as schema
from hutong.api.strict_json import StrictRoute
from hutong.payments import instant

router = APIRouter(prefix="/v1/operator/channel-codes", tags=["Operators"], route_class=StrictRoute)

Channel = Annotated[str, Query(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="Such as `wechat`.")]


class _Code(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
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
                    "reason": "the channel told us what it means",
                }
            ]
        },
    )

    channel: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    interface: str = Field(pattern=r"^(\*|[a-z][a-z0-9_]{0,63})$", description="`*` stands for every interface.")
    code: schema.Text = Field(min_length=1, max_length=128, description="The channel's word.")
    sub_code: schema.OptionalText = Field(max_length=128, description="Empty stands for every sub-code.")
    unified_code: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="Our one word for it.")
    state: Literal["pending", "authorized", "succeeded", "failed", "closed", "unknown", "not_found"]
    retryable: bool
    action: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="What to do next.")
    text_en: schema.OptionalText = Field(max_length=500, description="For the payer.")
    text_zh: schema.OptionalText = Field(max_length=500)


class ChannelCodeCreate(_Code):
    """A meaning to propose."""

    reason: schema.Text = Field(min_length=1, max_length=operators.REASON_LENGTH_MAX, description="Kept for ever.")


class ChannelCodeObject(_Code):
    """What a code means."""

    version: int = Field(description="The version of the channel's map in which it took this meaning.")
    changed_at: datetime
    proposal_id: str | None = Field(description="Who wanted it, who approved it, and why; null came with the program.")


class ChannelCodeList(BaseModel):
    """Entries of a map."""

    object: Literal["list"]
    data: list[ChannelCodeObject]


class UnmappedCodeObject(BaseModel):
    """A code that came and means nothing yet. Attempts that got it stay `unknown` until something else is learnt."""

    channel: str
    interface: str
    code: str
    sub_code: str
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
    message: str = Field(description="What the channel said with it, the last time.")


class UnmappedCodeList(BaseModel):
    """Codes without a meaning, the latest first."""

    object: Literal["list"]
    data: list[UnmappedCodeObject]


@router.get(
    "", response_model=ChannelCodeList, responses=responses(400, 401, 422, 503), summary="List a channel's codes"
)
async def list_codes(use: Use, _operator: Acting, channel: Channel) -> Response:
    """The whole map of a channel as it holds now."""
    async with use.database.transaction() as tx:
        found = await channels.codes.current_codes(tx, [channel])
    return _list([_document(version) for version in found])


@router.get(
    "/history",
    response_model=ChannelCodeList,
    responses=responses(400, 401, 422, 503),
    summary="List the versions of a code",
)
async def list_versions(
    use: Use,
    _operator: Acting,
    channel: Channel,
    interface: Annotated[str, Query(pattern=r"^(\*|[a-z][a-z0-9_]{0,63})$")],
    code: Annotated[schema.Text, Query(min_length=1, max_length=128)],
    sub_code: Annotated[schema.OptionalText, Query(max_length=128)] = "",
) -> Response:
    """Every meaning that the code has had, newest first."""
    async with use.database.transaction() as tx:
        found = await channels.codes.code_history(
            tx, channel=channel, interface=interface, code=code, sub_code=sub_code
        )
    return _list([_document(version) for version in found])


@router.get(
    "/unmapped",
    response_model=UnmappedCodeList,
    responses=responses(400, 401, 422, 503),
    summary="List codes without a meaning",
)
async def list_unmapped(use: Use, _operator: Acting) -> Response:
    """What came from channels and means nothing yet, the latest first; giving it a meaning takes it off the list."""
    async with use.database.transaction() as tx:
        found = await channels.codes.open_unmapped(tx)
    return _list(
        [
            {
                "channel": one.channel,
                "interface": one.interface,
                "code": one.code,
                "sub_code": one.sub_code,
                "first_seen_at": instant(one.first_seen_at),
                "last_seen_at": instant(one.last_seen_at),
                "count": one.count,
                "message": one.message,
            }
            for one in found
        ]
    )


@router.post(
    "",
    status_code=201,
    response_model=ProposalObject,
    responses=responses(400, 401, 403, 413, 415, 422, 503),
    summary="Propose what a code means",
)
async def propose_code(
    request: Request,
    use: Use,
    operator: Acting,
    body: Annotated[ChannelCodeCreate, Body(openapi_examples={"one": {"value": schema.example(ChannelCodeCreate)}})],
) -> Response:
    """Takes the role `operator`. It holds once another person, an approver, has approved the proposal."""
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

    document = proposal_document(await use.database.run(work))
    return json_answer(document, 201)


def _document(version: channels.codes.CodeVersion) -> dict[str, Any]:
    proposal_id = version.proposal_id
    return version.entry.document() | {
        "version": version.version,
        "changed_at": instant(version.changed_at),
        "proposal_id": None if proposal_id is None else ids.encode(operators.PROPOSAL_PREFIX, proposal_id),
    }


def _list(data: list[dict[str, Any]]) -> Response:
    return json_answer({"object": "list", "data": data})
