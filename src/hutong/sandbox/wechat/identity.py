"""The openid of the payer in WeChat's own browser, at the WeChat simulator (OAuth, snsapi_base)."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from hutong.sandbox.wechat.keys import OPENIDS, app_secret

_STATE_MAX = 128


class WeChatIdentities:
    """Codes that were given to browsers, each of which works once."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/connect/oauth2/authorize", self._authorize),
            web.get("/sns/oauth2/access_token", self._access_token),
        ]

    async def _authorize(self, request: web.Request) -> web.Response:
        """Lead the browser back at once, as WeChat does for this scope without asking the payer."""
        query = request.query
        back, state = query.get("redirect_uri", ""), query.get("state", "")
        is_known = query.get("appid") in OPENIDS and query.get("response_type") == "code"
        has_state = state.isascii() and state.isalnum() and len(state) <= _STATE_MAX
        if not is_known or query.get("scope") != "snsapi_base" or not has_state or not urlsplit(back).netloc:
            return web.Response(status=400, text="Oops! Something went wrong:(")
        code = secrets.token_hex(16)
        self._codes[code] = query["appid"]
        mark = "&" if "?" in back else "?"
        return web.Response(
            status=302, headers={"Location": f"{back}{mark}{urlencode({'code': code, 'state': state})}"}
        )

    async def _access_token(self, request: web.Request) -> web.Response:
        query = request.query
        app = query.get("appid", "")
        if app not in OPENIDS or query.get("secret") != app_secret(app):
            return _plain({"errcode": 40125, "errmsg": "invalid appsecret"})
        if self._codes.pop(query.get("code", ""), None) != app or query.get("grant_type") != "authorization_code":
            return _plain({"errcode": 40029, "errmsg": "invalid code"})
        token, refresh = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
        return _plain(
            {
                "access_token": token,
                "expires_in": 7200,
                "refresh_token": refresh,
                "openid": OPENIDS[app],
                "scope": "snsapi_base",
            }
        )


def _plain(content: dict[str, Any]) -> web.Response:
    """Answer as WeChat does: JSON that is called plain text."""
    answer = web.json_response(content)
    answer.content_type = "text/plain"
    return answer
