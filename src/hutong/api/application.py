"""The HTTP application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

import hutong
from hutong.api import channel_notifications as channel_routes
from hutong.api import docs_page as reference
from hutong.api import health as health_routes
from hutong.api.dependencies import Services
from hutong.api.merchant import bills as bill_routes
from hutong.api.merchant import customers as customer_routes
from hutong.api.merchant import payment_actions as life_cycle_routes
from hutong.api.merchant import payments as payment_routes
from hutong.api.merchant import refunds as refund_routes
from hutong.api.merchant import webhooks as webhook_routes
from hutong.api.middleware import Envelope
from hutong.api.operator import approvals as operator_routes
from hutong.api.operator import bills as operator_bill_routes
from hutong.api.operator import channel_codes as channel_code_routes
from hutong.api.operator import experiments as trial_routes
from hutong.api.operator import payments as operator_payment_routes
from hutong.api.operator import refunds as operator_refund_routes
from hutong.api.operator import routing as routing_routes
from hutong.api.operator import suggestions as suggestion_routes
from hutong.api.problems import Problem, install
from hutong.ids import Ids

_DESCRIPTION = """
Take payments through one API, whatever channel they go through.

Amounts are integers in minor units (`1999` is 19.99 in CNY) beside an ISO 4217 code. Instants are RFC 3339 in UTC.
Errors are problem documents (RFC 9457) with a stable `code`. Repeating a request with the same `Idempotency-Key` and
body gets the first answer again.
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
        open_services: Opens what the routes work with when the application starts, and closes it at its end.
        identifiers: Makes request ids.
        extra: More routes, made once the services are open; the cashier's, for one.
        documented: Whether `/docs` and `/openapi.json` are served.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as opened:
            app.state.services = opened
            for router in extra(opened):
                app.include_router(router, include_in_schema=False)
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
    modules = [
        payment_routes,
        life_cycle_routes,
        refund_routes,
        bill_routes,
        customer_routes,
        webhook_routes,
        operator_routes,
        operator_payment_routes,
        operator_refund_routes,
        operator_bill_routes,
        channel_code_routes,
        routing_routes,
        suggestion_routes,
        trial_routes,
        channel_routes,
        health_routes,
    ]
    modules += [reference] if documented else []
    install(app, [route for module in modules for route in module.router.routes if isinstance(route, APIRoute)])
    for module in modules:
        app.include_router(module.router)
    app.add_middleware(Envelope, identifiers=identifiers)
    _complete_schema(app)
    return app


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
                    del operation["responses"]["422"]  # path parameters are any text; what names nothing is absent
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
