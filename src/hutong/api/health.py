"""Liveness, readiness and metrics of the process."""

from __future__ import annotations

import asyncio
from typing import Literal

import prometheus_client
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from hutong.api.dependencies import Services, Use
from hutong.api.problems import responses
from hutong.api.schemas.enums import PlatformMode
from hutong.errors import CredentialsUnreadable, Unavailable

router = APIRouter(tags=["Operation"])


class HealthObject(BaseModel):
    """The state of the process."""

    status: Literal["ok"]


class ReadinessObject(BaseModel):
    """The state of the platform."""

    status: Literal["ready"]
    mode: PlatformMode = Field(description="`catch_up` after a restore of the database, until normal work begins.")
    installation: str = Field(
        description="A random id of the data folder: which of several installations answers at this address."
    )


@router.get("/healthz", summary="Check liveness")
async def check_liveness() -> HealthObject:
    """Answer 200 as long as the process can answer at all."""
    return HealthObject(status="ok")


@router.get("/readyz", summary="Check readiness", responses=responses(codes="credentials_unreadable unavailable"))
async def check_readiness(use: Use) -> ReadinessObject:
    """Answer 200 while the database answers and channel accounts can be read; otherwise send traffic elsewhere."""
    try:
        async with asyncio.timeout(2), use.database.transaction() as tx:
            await tx.fetchval("SELECT 1")
    except Exception as error:  # whatever the reason, traffic should go elsewhere
        raise Unavailable("the database does not answer") from error
    await _check_credentials(use)
    mode: PlatformMode = "normal" if use.database.catching_up_since is None else "catch_up"
    return ReadinessObject(status="ready", mode=mode, installation=use.installation)


async def _check_credentials(use: Services) -> None:
    """Refuse traffic while no channel account can be used because this process has another secret key."""
    offers = await use.accounts.offers()
    unreadable = use.accounts.unreadable(sandbox=use.sandbox)
    if unreadable and not any(offer.sandbox is use.sandbox for offer in offers):
        count = len(unreadable)
        raise CredentialsUnreadable(
            f"the credentials of all {count} channel accounts are sealed with another secret key"
        )


@router.get(
    "/metrics",
    summary="Get metrics",
    response_class=Response,
    responses={
        200: {
            "description": "The metrics.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "hutong_exceptions_open 0.0\n"}},
        }
    },
)
async def get_metrics() -> Response:
    """Return the metrics of the process in the text format of Prometheus."""
    return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)
