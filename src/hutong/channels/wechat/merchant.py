"""The merchant of an account as requests and answers name it: on its own, or under a service provider (服务商).

A service provider signs and calls; payers pay the merchant under it. An openid belongs to one app, which therefore has
to be the order's.

Source:
    https://pay.weixin.qq.com/doc/v3/partner/4012523579 (order: `sp_*`, `sub_*`, whose `sub_openid` needs `sub_appid`),
    https://pay.weixin.qq.com/wiki/doc/apiv3_partner/apis/chapter4_2_2.shtml (query),
    https://pay.weixin.qq.com/doc/v3/partner/4012886219 (refund);
    wechatpay-java, `partnerpayments/app/AppServiceExtension.java` (an app gets the service provider's number).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hutong.channels.wechat.credentials import WeChatCredentials
from hutong.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class WeChatMerchant:
    """The names of one account.

    Attributes:
        mchid, appid: Of the caller: the merchant, or its service provider.
        sub_mchid: The merchant under a service provider; None for one on its own.
        apps: The apps of the merchant by method, the first to be used where a payment names none.
        sub_appid: The app of the merchant under a service provider where `apps` names none; None for the provider's.
    """

    mchid: str
    appid: str
    sub_mchid: str | None
    sub_appid: str | None
    apps: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, credentials: WeChatCredentials) -> WeChatMerchant:
        apps: dict[str, tuple[str, ...]] = {method: tuple(names) for method, names in credentials.appids.items()}
        return cls(
            mchid=credentials.mchid or credentials.sp_mchid,
            appid=credentials.appid or credentials.sp_appid,
            sub_mchid=credentials.sub_mchid or None,
            sub_appid=credentials.sub_appid or None,
            apps=apps,
        )

    @property
    def number(self) -> str:
        """The number of the merchant whom payers pay."""
        return self.sub_mchid or self.mchid

    @property
    def orders_path(self) -> str:
        return "/v3/pay/transactions" if self.sub_mchid is None else "/v3/pay/partner/transactions"

    @property
    def known_apps(self) -> tuple[str, ...]:
        """The merchant's apps, each once; of one under a service provider not the provider's."""
        default = self.appid if self.sub_mchid is None else self.sub_appid
        names = [name for names in self.apps.values() for name in names]
        return tuple(dict.fromkeys([*([] if default is None else [default]), *names]))

    def app_of(self, method: str, person: Mapping[str, str]) -> str | None:
        """Return the merchant's app for a method; None stands for the service provider's app.

        Args:
            person: The payer or the payee, who may name one of the method's apps as "appid".

        Errors:
            InvalidParameter: "appid" is none of the method's apps.
        """
        default = self.appid if self.sub_mchid is None else self.sub_appid
        names = self.apps.get(method, () if default is None else (default,))
        named = person.get("appid")
        if named is None:
            return names[0] if names else None
        if named not in names:
            where = "payee" if method == TRANSFER else "payer"
            raise InvalidParameter(
                f"`{where}.appid` is none of this account's apps for {method}", param=f"{where}.appid"
            )
        return named

    def signing_app(self, app: str | None) -> str:
        """Return the app in which the payer's page or application pays."""
        return app or self.appid

    def order_fields(self, app: str | None) -> dict[str, str]:
        """Return the fields by which an order names its merchant and its app."""
        if self.sub_mchid is None:
            return {"appid": self.signing_app(app), "mchid": self.mchid}
        fields = {"sp_appid": self.appid, "sp_mchid": self.mchid, "sub_mchid": self.sub_mchid}
        return fields if app is None else fields | {"sub_appid": app}

    def payer_fields(self, app: str | None, openid: str) -> dict[str, str]:
        if self.sub_mchid is None:
            return {"openid": openid}
        return {"sp_openid" if app is None else "sub_openid": openid}

    @property
    def party_fields(self) -> dict[str, str]:
        """The fields by which a query or a close names the merchant."""
        if self.sub_mchid is None:
            return {"mchid": self.mchid}
        return {"sp_mchid": self.mchid, "sub_mchid": self.sub_mchid}

    @property
    def sub_fields(self) -> dict[str, str]:
        """The field by which a refund names a merchant under a service provider."""
        return {} if self.sub_mchid is None else {"sub_mchid": self.sub_mchid}

    def order_target(self, attempt_no: str) -> str:
        """Return path and query of an order."""
        return f"{self.orders_path}/out-trade-no/{attempt_no}?{urlencode(self.party_fields)}"

    def owns_order(self, content: Mapping[str, Any]) -> bool:
        """Return whether an order is this merchant's, in one of its apps."""
        if not self.owns(content):
            return False
        if self.sub_mchid is None:
            return content.get("appid") in self.known_apps
        app = content.get("sub_appid")
        return content.get("sp_appid") == self.appid and (app in (None, "") or app in self.known_apps)

    def owns(self, content: Mapping[str, Any]) -> bool:
        """Return whether a message is about this merchant."""
        return all(content.get(name) == value for name, value in self.party_fields.items())


TRANSFER = "wechat_balance"
