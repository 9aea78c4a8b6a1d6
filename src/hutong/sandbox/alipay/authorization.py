"""A third-party application at the Alipay simulator: it acts for the merchant, by a token that the merchant has given.

Source:
    https://w3cschool.cn/aliminiapp/aliminiapp-dcmn2d18.html (acting for a merchant),
    https://open.alitrip.com/docs/doc.htm?articleId=105806&docType=1&treeId=262 (codes),
    https://github.com/alipay/alipay-sdk-java-all (v2, `AlipayOpenAuthTokenAppQueryResponse`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hutong.sandbox.alipay.keys import APP_ID, AUTHORIZATION, SELLER_ID
from hutong.sandbox.alipay.orders import AnswerNode, beijing
from hutong.sandbox.alipay.validation import AlipayRefusal
from hutong.sandbox.store import Store

_LIFETIME = timedelta(days=365)
_QUERY = "alipay.open.auth.token.app.query"
_OWN = frozenset({_QUERY, "alipay.open.app.alipaycert.download"})
"""What an application asks for itself."""


class AlipayAuthorization:
    """The merchant's authorization of the third-party application.

    Attributes:
        is_revoked: Whether the merchant has ended it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ends_at: datetime | None = None
        self.is_revoked = False
        self.interfaces = {_QUERY: ("authorization", self._query)}

    @property
    def ends_at(self) -> datetime:
        """The end of the authorization, a year after its first use."""
        self._ends_at = self._ends_at or self._store.clock.now() + _LIFETIME
        return self._ends_at

    def check(self, parameters: Mapping[str, str]) -> None:
        """Check that the application of a request may act as it does.

        Errors:
            AlipayRefusal: it acts for the merchant without the right token, or is the merchant's own and has a token.
        """
        token = parameters.get("app_auth_token")
        if parameters["app_id"] == APP_ID:
            if token:
                raise AlipayRefusal("40002", "isv.not-support-app-auth", "应用不支持第三方应用授权")
            return
        if parameters["method"] in _OWN:
            return
        if not token:
            raise AlipayRefusal("40006", "isv.self-invoke-forbidden", "禁止自调用", msg="Insufficient Permissions")
        if token != AUTHORIZATION or self.is_revoked:
            raise _token_refused("aop.invalid-app-auth-token", "无效的应用授权令牌")
        if self._store.clock.now() > self.ends_at:
            raise _token_refused("aop.app-auth-token-time-out", "应用授权令牌已过期")

    def _query(self, content: dict[str, Any], _parameters: dict[str, str]) -> AnswerNode:
        if content.get("app_auth_token") != AUTHORIZATION:
            raise _token_refused("aop.invalid-app-auth-token", "无效的应用授权令牌")
        is_valid = not self.is_revoked and self._store.clock.now() <= self.ends_at
        node = {
            "code": "10000",
            "msg": "Success",
            "auth_app_id": APP_ID,
            "user_id": SELLER_ID,
            "status": "valid" if is_valid else "invalid",
            "auth_start": beijing(self.ends_at - _LIFETIME),
            "auth_end": beijing(self.ends_at),
        }
        return lambda _kind: node


def _token_refused(code: str, message: str) -> AlipayRefusal:
    return AlipayRefusal("20001", code, message, msg="Insufficient Token Permissions")
