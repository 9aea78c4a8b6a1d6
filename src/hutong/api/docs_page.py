"""/docs: the API's description for people, as Swagger UI; its files come from an installed package, not a network."""

from __future__ import annotations

import importlib.resources

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from hutong.errors import NotFound
from hutong.http_responses import security_headers

router = APIRouter(prefix="/docs", include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hutong API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js" defer></script>
<script src="/docs/start.js" defer></script>
</head><body><div id="reference"></div><noscript>This page needs JavaScript. The same description is at
<a href="/openapi.json">/openapi.json</a>.</noscript></body></html>
"""

# A key that a reader enters stays in the page and is not stored. No validator on another site is called.
_START = b"""SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#reference", deepLinking: true, validatorUrl: null, persistAuthorization: false,
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


@router.get("")
async def page() -> Response:
    """Return the page; it reads /openapi.json."""
    return HTMLResponse(_PAGE, headers=_SECURITY)


@router.get("/{name}")
async def page_file(name: str) -> Response:
    """Return a file of the page; read on each request, since requests are rare."""
    if name == "start.js":
        body, media_type = _START, "text/javascript; charset=utf-8"
    elif name in _PACKAGED:
        body, media_type = _packaged(name), _PACKAGED[name]
    else:
        raise NotFound("no file has this name")
    return Response(body, media_type=media_type, headers={**_SECURITY, "cache-control": "max-age=3600"})


def _packaged(name: str) -> bytes:
    return (importlib.resources.files("fastapi_swagger.resources") / name).read_bytes()
