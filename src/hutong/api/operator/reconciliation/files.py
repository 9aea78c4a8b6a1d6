"""/v1/operator/reconciliation/files: the bills and bank statements that came in."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hutong import ids, operators
from hutong.api.dependencies import Acting, Use, request_id
from hutong.api.operator.ledger.shared import Date
from hutong.api.operator.reconciliation.shared import (
    ACCOUNT_ID,
    PREFIX,
    TAGS,
    AccountId,
    DayFilter,
    account_of,
    find_party,
    write_body,
)
from hutong.api.paging import Limit, cut, id_cursor, page_answer, read_cursor
from hutong.api.problems import responses
from hutong.api.requests import BINARY, BINARY_BODY, StrictRoute, UploadRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import PageObject
from hutong.http_requests import check_media_type
from hutong.reconciliation import FILE_PREFIX, FileSource, FileState, files

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)
uploads = APIRouter(prefix=PREFIX, tags=TAGS, route_class=UploadRoute)


class ReconciliationFileObject(BaseModel):
    """A bill or a bank statement that came in."""

    id: str
    object: Literal["reconciliation_file"]
    source: FileSource
    account_id: str = Field(description="The account at the channel or the bank account.")
    layout: str = Field(description="The layout that it is read by.")
    day: date = Field(description="The account's own day.")
    name: str
    sha256: str = Field(description="Of the file as it came, in hexadecimal digits.")
    size: int = Field(description="In bytes.")
    is_whole: bool = Field(description="Whether it states all rows that its layout has of the day.")
    state: FileState
    received_at: datetime
    rows: int | None = Field(description="Rows that could be read; null before it is read.")
    exceptions: int | None = Field(description="Rows that could not be read.")
    totals: dict[str, Any] = Field(description="Counts and signed sums by kind and currency.")
    reason: str | None = Field(description="Why it was refused.")
    replaced_by: str | None = Field(description="The file that has its rows now.")


class ReconciliationFileList(PageObject):
    """A page of files, the last that came in first."""

    data: list[ReconciliationFileObject]


@router.get(
    "/files",
    response_model=ReconciliationFileList,
    responses=responses(400, 401, 422, 503),
    summary="List reconciliation files",
)
async def list_reconciliation_files(
    use: Use,
    _operator: Acting,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor(FILE_PREFIX)] = None,
    account: AccountId = None,
    day: DayFilter = None,
    state: Annotated[FileState | None, Query(description="Only files in this state.")] = None,
) -> Response:
    """List the bills and bank statements that came in, the last first."""
    before: UUID | None = read_cursor(FILE_PREFIX, cursor)
    of_account = account_of(account)
    async with use.database.transaction() as tx:
        found = await files.list_files(tx, account_id=of_account, day=day, state=state, before=before, limit=limit + 1)
    page, following = cut(found, limit, lambda file: ids.encode(FILE_PREFIX, file.file_id))
    return page_answer(map(files.file_document, page), following)


@router.get(
    "/files/{file_id}",
    response_model=ReconciliationFileObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="See a reconciliation file",
)
async def get_reconciliation_file(use: Use, _operator: Acting, file_id: str) -> Response:
    """Return one file: how far it is, and why it was refused."""
    identifier = ids.decode(FILE_PREFIX, file_id)
    async with use.database.transaction() as tx:
        file = await files.find_file(tx, identifier)
    return json_answer(files.file_document(file))


@uploads.post(
    "/files",
    status_code=201,
    response_model=ReconciliationFileObject,
    responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
    summary="Upload a bill or a bank statement",
    openapi_extra=BINARY_BODY,
)
async def add_reconciliation_file(
    request: Request,
    use: Use,
    operator: Acting,
    account: Annotated[str, Query(pattern=ACCOUNT_ID, description="The account at the channel or the bank account.")],
    layout: Annotated[
        str, Query(pattern=r"^[a-z0-9_.-]{1,64}$", description="The layout that it is read by, such as `wechat_trade`.")
    ],
    name: Annotated[str, Query(min_length=1, max_length=200, description="The file's own name, without folders.")],
    day: Annotated[
        Date | None, Query(description="The account's own day; needed where the file does not tell it.")
    ] = None,
    is_whole: Annotated[
        bool,
        Query(
            description="Whether it states the whole day. Then it takes the place of earlier files of its layout even "
            "if it only lacks some of their rows; else such a file counts as a part of them."
        ),
    ] = False,
) -> Response:
    """Take a file in, as its bytes. It is read within seconds, and its day is then reconciled.

    The same content again changes nothing, whatever its name, and is answered with the file as it is.
    """
    operators.require(operator, operators.Role.OPERATOR)
    files.check_name(name)
    party = await find_party(use, account)
    files.check_layout(layout, party.source)
    check_media_type(request.headers.get("content-type", ""), BINARY)
    with files.staging(use.reconciliation) as folder:
        path = folder / "upload"
        await write_body(request, path, use.reconciliation.config.upload_bytes_max)
        file = await files.receive(use.reconciliation, files.Incoming(party, layout, path, name, day, is_whole))
    entry = operators.AuditEntry(
        operator.operator_id,
        "reconciliation.upload",
        "reconciliation_file",
        ids.encode(FILE_PREFIX, file.file_id),
        "uploaded by the interface",
        after={"name": name, "sha256": file.sha256},
        request_id=request_id(request),
    )
    await use.database.run(lambda tx: operators.audit(tx, [entry], now=use.clock.now()))
    return json_answer(files.file_document(file), 201)
