"""The HTTP application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

import hutong
from hutong import db
from hutong.api import channel_notifications, docs_page, health, merchant, operator
from hutong.api.dependencies import Services
from hutong.api.guesses import Guesses
from hutong.api.problems import Problem, install
from hutong.api.requests import RequestObserver
from hutong.api.traces import FLUSH_EVERY_S, Traces
from hutong.clock import SystemClock
from hutong.errors import HutongError
from hutong.ids import Ids

_DESCRIPTION = """
Take payments through one API, at any channel.

Amounts are integers in minor units (`1999` is 19.99 in CNY) beside an ISO 4217 code. Instants are RFC 3339 in UTC.
Errors are problem documents (RFC 9457) with a stable `code`. A request that is repeated with the same
`Idempotency-Key` and body gets the first answer again.
"""


def create_app(
    open_services: Callable[[], AbstractAsyncContextManager[Services]],
    *,
    identifiers: Ids,
    extra: Callable[[Services], list[APIRouter]] = lambda _: [],
    documented: bool = True,
) -> FastAPI:
    """Build the application.

    Args:
        open_services: Opens the services of the routes when the application starts, and closes them at its end.
        identifiers: Makes request ids.
        extra: Makes further routes once the services are open, such as the cashier's.
        documented: Whether `/docs` and `/openapi.json` are served.
    """

    traces = Traces(SystemClock())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as opened:
            app.state.services = opened
            for router in extra(opened):
                app.include_router(router, include_in_schema=False)
            async with _writing(traces, opened):
                yield

    app = FastAPI(
        title="Hutong",
        version=hutong.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/openapi.json" if documented else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # A request goes through the routes in this order: those that are asked most come first.
    routers = [*merchant.ROUTERS, channel_notifications.router, *operator.ROUTERS, health.router]
    routers += [docs_page.router] if documented else []
    install(app, [route for router in routers for route in router.routes if isinstance(route, APIRoute)])
    for router in routers:
        app.include_router(router)
    app.state.traces = traces
    app.add_middleware(RequestObserver, identifiers=identifiers, guesses=Guesses(SystemClock()), traces=traces)
    _complete_schema(app)
    return app


@asynccontextmanager
async def _writing(traces: Traces, opened: Services) -> AsyncIterator[None]:
    """Write traces into the audit journal, regularly and at the end of the block."""
    stop = asyncio.Event()
    write = partial(traces.flush, opened.database)
    task = asyncio.create_task(db.every(FLUSH_EVERY_S, write, stop, name="traces"))
    try:
        yield
    finally:
        stop.set()
        await task
        with suppress(HutongError):  # the database is away; the log has it
            await traces.flush(opened.database, at_end=True)


def _complete_schema(app: FastAPI) -> None:
    """Put our problem document where FastAPI would put its own validation error."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            schemas = document["components"]["schemas"]
            schemas["Problem"] = Problem.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for operation in (operation for path in document["paths"].values() for operation in path.values()):
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]  # any text is a valid path parameter; an unknown id gets 404
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
