"""/v1/operator/reconciliation: differences as spreadsheets, exported to be decided, and taken back line by line."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hutong import operators
from hutong.api.dependencies import Acting, Use
from hutong.api.operator.approvals import ProposalObject, proposal_document
from hutong.api.operator.reconciliation.differences import Where, decided, given
from hutong.api.operator.reconciliation.shared import PREFIX, TAGS, write_body
from hutong.api.problems import responses
from hutong.api.requests import BINARY, BINARY_BODY, StrictRoute, UploadRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.enums import SheetForm
from hutong.http_requests import check_media_type
from hutong.ids import encode
from hutong.reconciliation import differences, files, model

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)
uploads = APIRouter(prefix=PREFIX, tags=TAGS, route_class=UploadRoute)

_CSV = "text/csv"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class DifferenceLineRefusal(BaseModel):
    """A line of a spreadsheet that was not taken."""

    line: int = Field(description="From 1, with the heading.")
    id: str = Field(description="As the line has it.")
    reason: str


class DifferenceSheetDecided(BaseModel):
    """The outcome of a spreadsheet's decisions."""

    object: Literal["difference_sheet_decided"]
    proposal: ProposalObject | None = Field(description="Waits for another person; null if no money moves.")
    done: list[str] = Field(description="The differences that are approved at once.")
    refused: list[DifferenceLineRefusal]


@router.get(
    "/differences/export",
    response_class=Response,
    responses={
        200: {
            "content": {
                _CSV: {"schema": {"type": "string"}, "example": "id,content,account,…\r\n"},
                _XLSX: {"schema": {"type": "string", "format": "binary"}, "example": "(the bytes of the workbook)"},
            }
        },
        **responses(400, 401, 422, 503),
    },
    summary="Export differences",
)
async def export_differences(
    use: Use,
    _operator: Acting,
    where: Where,
    form: Annotated[SheetForm, Query(description="A spreadsheet program opens both as they are.")] = "csv",
) -> Response:
    """Return what a filter selects as a spreadsheet with empty columns to decide in, at most 20,000 differences."""
    today = use.clock.now().date()
    async with use.database.transaction() as tx:
        cases = await differences.list_all_differences(tx, where)
    if form == "xlsx":
        content, media_type = await asyncio.to_thread(differences.write_workbook, cases, today=today), _XLSX
    else:
        text = await asyncio.to_thread(differences.write_sheet, cases, today=today)
        content, media_type = text.encode(), f"{_CSV}; charset=utf-8"
    headers = {"Content-Disposition": f'attachment; filename="differences-{today.isoformat()}.{form}"'}
    return Response(content, media_type=media_type, headers=headers)


@uploads.post(
    "/difference-sheets",
    status_code=201,
    response_model=DifferenceSheetDecided,
    responses=responses(400, 401, 403, 413, 415, 422, 503),
    summary="Decide by a spreadsheet",
    openapi_extra=BINARY_BODY,
)
async def decide_difference_sheet(
    request: Request,
    use: Use,
    operator: Acting,
    reason: Annotated[
        str,
        Query(min_length=1, max_length=operators.REASON_LENGTH_MAX, description="Of the whole list; kept permanently."),
    ],
) -> Response:
    """Take the decisions of an export that was filled in, as the bytes of a CSV or XLSX file of at most 64 MiB.

    Each line is checked: what cannot be read or is not allowed is refused by its number, and the other lines are taken.
    Lines without a decision decide nothing, and figures are never read back. Where money moves, another person has to
    approve it.
    """
    operators.require(operator, operators.Role.OPERATOR)
    operators.check_reason(reason)
    check_media_type(request.headers.get("content-type", ""), BINARY)
    with files.staging(use.reconciliation) as folder:
        path = folder / "sheet"
        await write_body(request, path, differences.SHEET_BYTES_MAX)
        sheet = await asyncio.to_thread(differences.read_sheet, path)
    outcome = await decided(request, use, operator, given(sheet.decisions), reason)
    answer = {
        "object": "difference_sheet_decided",
        "proposal": None if outcome.proposal is None else proposal_document(outcome.proposal),
        "done": [encode(model.DIFFERENCE_PREFIX, each) for each in outcome.done],
        "refused": differences.write_faults(sheet, outcome.refused),
    }
    return json_answer(answer, 201)
