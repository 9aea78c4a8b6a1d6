"""Liveness, readiness and metrics of the process."""

from __future__ import annotations

import asyncio
from typing import Literal

import prometheus_client
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from hutong.api.dependencies import Use
from hutong.api.problems import responses
from hutong.errors import Unavailable

router = APIRouter(tags=["Operation"])


class HealthObject(BaseModel):
    """The state of the process."""

    status: Literal["ok"]


class ReadinessObject(BaseModel):
    """The state of the platform."""

    status: Literal["ready"]
    mode: Literal["normal", "catch_up"] = Field(
        description="`catch_up` after a restore of the database, until normal work begins."
    )


@router.get("/healthz", summary="Check liveness")
async def healthz() -> HealthObject:
    """Answer 200 as long as the process can answer at all."""
    return HealthObject(status="ok")


@router.get("/readyz", summary="Check readiness", responses=responses(503))
async def readyz(use: Use) -> ReadinessObject:
    """Answer 200 while the database answers; otherwise send traffic elsewhere."""
    try:
        async with asyncio.timeout(2), use.database.transaction() as tx:
            await tx.fetchval("SELECT 1")
    except Exception as error:  # whatever the reason, traffic should go elsewhere
        raise Unavailable("the database does not answer") from error
    mode: Literal["normal", "catch_up"] = "normal" if use.database.catching_up_since is None else "catch_up"
    return ReadinessObject(status="ready", mode=mode)


@router.get(
    "/metrics",
    summary="Get metrics",
    response_class=Response,
    responses={200: {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    """Return the metrics of the process in the text format of Prometheus."""
    return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)
