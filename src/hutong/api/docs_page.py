"""/docs and /openapi.json for merchants, the same for operators: the API's description for people and for programs.

The pages are Swagger UI, whose files come from an installed package, not a network.
"""

from __future__ import annotations

import asyncio
import importlib.resources
from typing import TYPE_CHECKING

import orjson
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from hutong.errors import NotFound
from hutong.http_responses import security_headers

if TYPE_CHECKING:
    from hutong.api.description import Description

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js" defer></script>
<script src="/docs/start.js" defer></script>
</head><body><div id="reference" data-url="{document}"></div><noscript>This page needs JavaScript. The same description
is at <a href="{document}">{document}</a>.</noscript><footer>See also <a href="{other_page}">{other}</a>.</footer>
</body></html>
"""

# A key that a reader enters stays in the page and is not stored. No validator on another site is called.
_START = b"""const reference = document.getElementById("reference");
SwaggerUIBundle({
  url: reference.dataset.url, domNode: reference, deepLinking: true, validatorUrl: null, persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout", defaultModelsExpandDepth: 0,
  displayRequestDuration: true
});
"""

_PACKAGED = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}

_SECURITY = security_headers(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/openapi.json")
async def merchant_document(request: Request) -> Response:
    """Return the description of the merchants' operations."""
    return await _document(request, "merchant")


@router.get("/openapi-operator.json")
async def operator_document(request: Request) -> Response:
    """Return the description of the operators' operations."""
    return await _document(request, "operator")


@router.get("/docs")
async def merchant_page() -> Response:
    """Return the page about the merchants' operations."""
    return _page("Hutong API", "/openapi.json", "the API of operators", "/docs/operator")


@router.get("/docs/operator")
async def operator_page() -> Response:
    """Return the page about the operators' operations."""
    return _page("Hutong API for operators", "/openapi-operator.json", "the API of merchants", "/docs")


@router.get("/docs/{name}")
async def page_file(name: str) -> Response:
    """Return a file of the pages; read on each request, since requests are rare."""
    if name == "start.js":
        body, media_type = _START, "text/javascript; charset=utf-8"
    elif name in _PACKAGED:
        body, media_type = _packaged(name), _PACKAGED[name]
    else:
        raise NotFound("no file has this name")
    return Response(body, media_type=media_type, headers={**_SECURITY, "cache-control": "max-age=3600"})


async def _document(request: Request, audience: str) -> Response:
    description: Description = request.app.state.descriptions[audience]
    document = await asyncio.to_thread(lambda: description.document)  # the first time takes a while
    return Response(orjson.dumps(document), media_type="application/json")


def _page(title: str, document: str, other: str, other_page: str) -> Response:
    page = _PAGE.format(title=title, document=document, other=other, other_page=other_page)
    return HTMLResponse(page, headers=_SECURITY)


def _packaged(name: str) -> bytes:
    return (importlib.resources.files("fastapi_swagger.resources") / name).read_bytes()
