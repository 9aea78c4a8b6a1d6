"""The route of merchants' logos."""

from __future__ import annotations

import re
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hutong import merchants
from hutong.cashier.responses import guarded
from hutong.cashier.routes import IMMUTABLE
from hutong.errors import NotFound

_DIGEST = re.compile(r"[0-9a-f]{64}")


def create_logo_router(directory: merchants.Directory) -> APIRouter:
    """Build the route of logos, which has to come before the cashier's own."""
    route = Route("/pay/logos/{digest}", guarded(partial(_logo, directory)), methods=["GET"])
    return APIRouter(routes=[route], include_in_schema=False)


async def _logo(directory: merchants.Directory, request: Request) -> Response:
    """Answer with a logo. Its address is the hash of its content, so browsers may keep it permanently."""
    digest = request.path_params["digest"]
    logo = await directory.logo(digest) if _DIGEST.fullmatch(digest) else None
    if logo is None:
        raise NotFound("no logo has this address")
    return Response(logo.content, media_type=logo.media_type, headers={"cache-control": IMMUTABLE})
