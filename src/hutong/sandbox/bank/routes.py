"""The bank's interface: its statements, and differences planted in them."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hutong.sandbox.bank.entries import BANK_DIFFERENCES, Bank
from hutong.sandbox.bank.formats import facts, write_camt, write_mt940
from hutong.sandbox.pages import refuse_foreign

_EARLIEST, _LATEST = date(1970, 1, 2), date(9998, 12, 31)
_WRITERS = {"camt": (write_camt, "application/xml"), "mt940": (write_mt940, "text/plain")}


class AlterStatement(BaseModel):
    """Differences to plant in a day's statement: the number of each of `BANK_DIFFERENCES`."""

    model_config = ConfigDict(extra="forbid")

    day: Annotated[date, Field(ge=_EARLIEST, le=_LATEST)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    differences: dict[str, Annotated[int, Field(ge=0, le=1000)]] = {}


def routes(bank: Bank) -> list[web.RouteDef]:
    """Return the bank's routes.

    GET /bank/statements/{day} is a day's statement, of `?currency=` (CNY) and in `?format=` (camt or mt940). POST
    /control/bank/statement plants differences in one, answered with their key. GET /bank names the account.
    """

    async def account(request: web.Request) -> web.StreamResponse:
        return refuse_foreign(request) or _answer({"number": facts()["account"]["number"]})

    async def statement(request: web.Request) -> web.StreamResponse:
        try:
            day = date.fromisoformat(request.match_info["day"])
        except ValueError:
            day = date.min
        currency, name = request.query.get("currency", "CNY"), request.query.get("format", "camt")
        if not _EARLIEST <= day <= _LATEST or name not in _WRITERS or len(currency) != 3 or not currency.isascii():
            error = "`day` must be YYYY-MM-DD, from 1970 to 9998; `format` one of camt, mt940; `currency` three letters"
            return _answer({"error": error}, status=422)
        write, content_type = _WRITERS[name]
        return web.Response(body=write(bank.statement(day, currency)), content_type=content_type)

    async def alter(request: web.Request) -> web.StreamResponse:
        if (refusal := refuse_foreign(request)) is not None:
            return refusal
        try:
            body = AlterStatement.model_validate_json(await request.read() or b"{}")
        except ValidationError as error:
            return web.Response(status=422, text=error.json(include_url=False), content_type="application/json")
        if set(body.differences) - set(BANK_DIFFERENCES):
            return _answer({"error": "there is no such difference", "differences": BANK_DIFFERENCES}, status=422)
        key = bank.plant(body.day, body.currency, body.differences, seed=body.seed)
        return _answer({"day": body.day, "currency": body.currency, "key": key})

    return [
        web.get("/bank", account),
        web.get("/bank/statements/{day}", statement),
        web.post("/control/bank/statement", alter),
    ]


def _answer(value: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
