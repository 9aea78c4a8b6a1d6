"""The routes under /till: the page, and its static files. The page itself calls the API."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import orjson
from fastapi import APIRouter
from jinja2 import Template
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from hutong.http_responses import problem_response, security_headers
from hutong.static_files import StaticFile, read_static_files, read_templates
from hutong.till.translations import TEXTS

_FOLDER = Path(__file__).parent
_LANGUAGES = {"en": ("en", "English"), "zh": ("zh-CN", "中文")}
_MEDIA_TYPES = {"till.css": "text/css; charset=utf-8", "till.js": "text/javascript; charset=utf-8"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    **security_headers(_POLICY),
    "permissions-policy": "camera=(self), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-robots-tag": "noindex",
}
_IMMUTABLE = "public, max-age=31536000, immutable"


def create_router(*, sandbox: bool) -> APIRouter:
    """Build the till's routes, none in the API's description.

    Args:
        sandbox: Whether the page is marked as one without real money.
    """
    return APIRouter(
        routes=[
            Route("/till", partial(_page, sandbox), methods=["GET"]),
            Route("/till/static/{name}", _static, methods=["GET"]),
        ],
        include_in_schema=False,
    )


async def _page(sandbox: bool, request: Request) -> Response:
    lang = _language(request)
    tag = _LANGUAGES[lang][0]
    html = _template().render(
        texts=TEXTS[lang],
        data=orjson.dumps(TEXTS[lang]).decode(),
        lang=lang,
        tag=tag,
        languages=[(key, *names) for key, names in _LANGUAGES.items()],
        assets=_assets(),
        sandbox=sandbox,
    )
    return HTMLResponse(html, headers={**_HEADERS, "cache-control": "no-store", "content-language": tag})


async def _static(request: Request) -> Response:
    asset = next((asset for asset in _assets().values() if asset.url == request.url.path), None)
    if asset is None:
        return problem_response(request, 404, "not_found", "no file has this address")
    return Response(asset.body, media_type=asset.media_type, headers={**_HEADERS, "cache-control": _IMMUTABLE})


def _language(request: Request) -> str:
    wanted = request.query_params.get("lang") or request.headers.get("accept-language", "")
    return "zh" if wanted.lower().startswith("zh") else "en"


@cache
def _assets() -> dict[str, StaticFile]:
    return read_static_files(_FOLDER / "static", "/till/static", _MEDIA_TYPES)


@cache
def _template() -> Template:
    return read_templates(_FOLDER / "templates").get_template("till.html")
