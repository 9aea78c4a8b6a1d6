"""Is the process alive, may it get traffic, how is it doing."""

from __future__ import annotations

import asyncio
from typing import Literal

import prometheus_client
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from hutong.api.dependencies import Use
from hutong.api.problems import responses
from hutong.errors import Unavailable

router = APIRouter(tags=["Operation"])


class Health(BaseModel):
    """How the process is."""

    status: Literal["ok", "ready"]


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """Answers as long as the process can answer at all."""
    return Health(status="ok")


@router.get("/readyz", summary="May it get traffic?", responses=responses(503))
async def readyz(use: Use) -> Health:
    """Answers 200 while the database does."""
    try:
        async with asyncio.timeout(2), use.database.transaction() as tx:
            await tx.fetchval("SELECT 1")
    except Exception as error:  # whatever it is, traffic should go elsewhere
        raise Unavailable("the database does not answer") from error
    return Health(status="ready")


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"description": "Figures.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    """In the text format of Prometheus."""
    return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)
