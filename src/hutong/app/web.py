"""The web application of one process: API and cashier on the wired platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from functools import partial

import uvicorn
from fastapi import APIRouter, FastAPI

from hutong import api, bookkeeping, cashier, db, front_door, till
from hutong.app.instance import find_cashier, machine_id
from hutong.app.platform import Platform, bounds, open_platform
from hutong.clock import SystemClock
from hutong.config import Settings, home_folder
from hutong.ids import Ids


def open_api(settings: Settings) -> AbstractAsyncContextManager[Platform]:
    """Open the platform of a process that serves the API and the cashier, with their rights alone."""
    return open_platform(settings, answers=api.JsonAnswers, role=db.API_ROLE)


def build(settings: Settings, *, opened: Platform | None = None) -> FastAPI:
    """Build the application of API and cashier.

    Args:
        opened: A platform that stays open; by default the application opens its own and closes it at its end.
    """

    limits = bookkeeping.read_limits(settings.single_person_limits)

    @asynccontextmanager
    async def open_services() -> AsyncIterator[api.Services]:
        async with nullcontext(opened) if opened else open_api(settings) as platform:
            yield api.Services(
                database=platform.database,
                directory=platform.directory,
                accounts=platform.accounts,
                lifecycle=platform.lifecycle,
                answers=api.JsonAnswers(platform.documents),
                approval_handlers=platform.approval_handlers,
                vault=platform.vault,
                clock=platform.clock,
                ids=platform.ids,
                installation=str(machine_id(home_folder(settings))),
                sandbox=settings.sandbox,
                sandbox_clock=platform.sandbox_clock,
                records=platform.records,
                documents=platform.documents,
                reconciliation=platform.reconciliation,
                single_person_limits=limits,
                avatar_base=settings.avatar_base_url or "",
                payment_validity=timedelta(days=settings.payment_validity_days),
                cashier_validity=timedelta(minutes=settings.cashier_validity_minutes),
            )

    def cashier_routes(services: api.Services) -> list[APIRouter]:
        sandbox_url = f"http://{settings.sandbox_host}:{settings.sandbox_port}" if settings.sandbox else None
        checkout = cashier.PaymentCheckout(
            services.database,
            services.lifecycle,
            services.directory,
            services.clock,
            payer_text=services.documents.payer_text,
            checkout_url=services.documents.checkout_url,
            sandbox_url=sandbox_url,
        )
        logos = cashier.create_logo_router(services.directory)
        start_page = api.create_start_page(sandbox_url=sandbox_url, find_cashier=partial(find_cashier, settings))
        payers = cashier.create_router(checkout, services.clock, sandbox=settings.sandbox)
        links = cashier.LinkPayments(
            services.database,
            services.lifecycle,
            services.directory,
            services.clock,
            services.ids,
            validity=services.cashier_validity,
            longest=services.payment_validity,
        )
        linked = cashier.create_link_router(links, sandbox=settings.sandbox)
        return [logos, payers, linked, till.create_router(sandbox=settings.sandbox), start_page]

    identifiers = opened.ids if opened else Ids(SystemClock(), zone=settings.zone)
    return api.create_app(open_services, identifiers=identifiers, extra=cashier_routes)


def server_options(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """Return the options of the server of an application: behind the front door, and silent about itself."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=10,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        **front_door.uvicorn_options(bounds(settings)),
    )
