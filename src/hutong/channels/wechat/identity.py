"""The payer of a page in WeChat's own browser: WeChat tells the page their openid, silently, by OAuth (snsapi_base).

Source:
    https://developers.weixin.qq.com/doc/offiaccount/en/OA_Web_Apps/Wechat_webpage_authorization.html: the address to
    open, which must end with `#wechat_redirect`; a code that works once and for five minutes; `state` of at most 128
    letters and digits; the domain of the return address is registered for the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from hutong.channels.errors import ChannelUnreachable, NotAuthentic
from hutong.channels.http import Http, decode_object
from hutong.channels.wechat.credentials import WeChatCredentials
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.telemetry import get_logger

METHOD = "wechat_jsapi"
_OPENID_MAX = 128
_log = get_logger(__name__)


class WeChatIdentity:
    """Asks WeChat who the payer in its browser is, for the app in which that payer pays."""

    def __init__(self, credentials: WeChatCredentials, merchant: WeChatMerchant, http: Http) -> None:
        self._credentials = credentials
        self._http = http
        self._app = merchant.signing_app(merchant.app_of(METHOD, {}))
        secret = credentials.app_secrets.get(self._app)
        self._secret = None if secret is None else secret.get_secret_value()

    @property
    def is_offered(self) -> bool:
        """Whether the app's secret is known, without which WeChat tells nobody."""
        return self._secret is not None

    def url(self, return_url: str, state: str) -> str:
        """Return the address that the payer's browser opens, and that leads back with a code."""
        query = {
            "appid": self._app,
            "redirect_uri": return_url,
            "response_type": "code",
            "scope": "snsapi_base",
            "state": state,
        }
        return f"{self._credentials.open_url}/connect/oauth2/authorize?{urlencode(query)}#wechat_redirect"

    async def ask(self, code: str) -> Mapping[str, str] | None:
        """Return the openid behind a code; None without an answer.

        The answer is not signed and is trusted for TLS alone: it decides who is asked to pay, not whether they have.
        """
        query = {
            "appid": self._app,
            "secret": self._secret or "",
            "code": code,
            "grant_type": "authorization_code",
        }
        url = f"{self._credentials.app_url}/sns/oauth2/access_token?{urlencode(query)}"
        try:
            answer = decode_object((await self._http.call("GET", url, headers={"Accept": "application/json"})).body)
        except (ChannelUnreachable, NotAuthentic) as error:
            _log.warning("payer_not_identified", channel="wechat", reason=type(error).__name__)
            return None
        openid = answer.get("openid")
        if not isinstance(openid, str) or not (openid.isascii() and openid.isprintable()):
            openid = ""
        if not 0 < len(openid) <= _OPENID_MAX:
            _log.warning("payer_not_identified", channel="wechat", reason=f"errcode {str(answer.get('errcode'))[:16]}")
            return None
        return {"openid": openid}
