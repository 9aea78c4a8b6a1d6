"""The HTTP application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

import hutong
from hutong import db
from hutong.api import channel_notifications, docs_page, health, merchant, operator
from hutong.api.dependencies import Services
from hutong.api.description import MERCHANT_TEXT, OPERATOR_TEXT, Description
from hutong.api.guesses import Guesses
from hutong.api.problems import install
from hutong.api.requests import RequestObserver
from hutong.api.traces import FLUSH_EVERY_S, Traces
from hutong.clock import SystemClock
from hutong.errors import HutongError
from hutong.ids import Ids


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
        documented: Whether the OpenAPI documents and their pages are served.
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
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # A request goes through the routes in this order: those that are asked most come first.
    others = [channel_notifications.router, *operator.ROUTERS, health.router]
    routers = [*merchant.ROUTERS, *others, *[docs_page.router] * documented]
    app.state.descriptions = {
        "merchant": Description("Hutong", MERCHANT_TEXT, _routes(merchant.ROUTERS), receives_events=True),
        "operator": Description("Hutong for operators", OPERATOR_TEXT, _routes(others)),
    }
    install(app, _routes(routers))
    for router in routers:
        app.include_router(router)
    app.state.traces = traces
    app.add_middleware(RequestObserver, identifiers=identifiers, guesses=Guesses(SystemClock()), traces=traces)
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


def _routes(routers: Sequence[APIRouter]) -> list[APIRoute]:
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
