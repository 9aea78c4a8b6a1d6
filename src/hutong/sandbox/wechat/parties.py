"""The callers of the simulator: a merchant on its own, and a service provider for the merchant under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from hutong.sandbox.wechat.keys import (
    APPID,
    MCHID,
    MINI_PROGRAM_APPID,
    OPENIDS,
    SP_APPID,
    SP_MCHID,
    SUB_APPID,
    SUB_MCHID,
)
from hutong.sandbox.wechat.protocol import WeChatRefusal


@dataclass(frozen=True, slots=True)
class Party:
    """A caller, and how documents name it.

    Attributes:
        mchid: The number that signs.
        apps: The apps that are bound to it.
        sub_mchid, sub_apps: The merchant under it, and that one's apps; None for a merchant on its own.
    """

    mchid: str
    apps: tuple[str, ...]
    sub_mchid: str | None = None
    sub_apps: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The number of the merchant whom payers pay."""
        return self.sub_mchid or self.mchid

    def check_path(self, path: str) -> None:
        """Refuse a service provider at the interfaces of merchants on their own, and the reverse."""
        if path.startswith("/v3/pay/partner/") and self.sub_mchid is None:
            raise WeChatRefusal(400, "PARAM_ERROR", "普通商户不允许传sub_mch_id")
        if path.startswith(("/v3/pay/transactions/", "/v3/fund-app/")) and self.sub_mchid is not None:
            raise WeChatRefusal(400, "PARAM_ERROR", "受理机构必须传入sub_mch_id")

    def check_query(self, query: Mapping[str, Any]) -> None:
        """Refuse a query or a close that names somebody else."""
        for name, value in self.names.items():
            if query.get(name) != value:
                raise WeChatRefusal(400, "PARAM_ERROR", "商户号错误")

    def check_sub(self, content: Mapping[str, Any]) -> None:
        """Refuse a refund or the like that does not name the merchant under a service provider, or names one."""
        given = content.get("sub_mchid")
        if self.sub_mchid is None and given is not None:
            raise WeChatRefusal(400, "PARAM_ERROR", "普通商户不允许传sub_mch_id")
        if self.sub_mchid is not None and given != self.sub_mchid:
            raise WeChatRefusal(400, "PARAM_ERROR", "受理机构必须传入sub_mch_id")

    def check_order(self, content: Mapping[str, Any]) -> None:
        """Refuse an order whose numbers and apps do not belong together."""
        if self.sub_mchid is None:
            matches = content.get("mchid") == self.mchid and content.get("appid") in self.apps
        else:
            if content.get("sub_mchid") != self.sub_mchid:
                raise WeChatRefusal(403, "NO_AUTH", "特约子商户商户号未授权服务商的产品权限")
            matches = content.get("sp_mchid") == self.mchid and content.get("sp_appid") in self.apps
            matches = matches and content.get("sub_appid") in (None, *self.sub_apps)
        if not matches:
            raise WeChatRefusal(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")

    def check_payer(self, content: Mapping[str, Any]) -> None:
        """Refuse an order without the payer's openid, or with one that belongs to another app."""
        payer = content.get("payer")
        given = payer if isinstance(payer, dict) else {}
        if self.sub_mchid is None:
            pairs = [(content.get("appid"), given.get("openid"))]
        else:
            pairs = [(content["sp_appid"], given.get("sp_openid")), (content.get("sub_appid"), given.get("sub_openid"))]
            pairs = [(app, openid) for app, openid in pairs if openid is not None] or [(None, None)]
        for app, openid in pairs:
            if app is None:
                raise WeChatRefusal(400, "PARAM_ERROR", "无效的openid")
            if openid in OPENIDS.values() and OPENIDS.get(app) != openid:
                raise WeChatRefusal(400, "PARAM_ERROR", "appid和openid不匹配")

    @property
    def names(self) -> dict[str, str]:
        """The numbers by which documents name it."""
        return (
            {"mchid": self.mchid} if self.sub_mchid is None else {"sp_mchid": self.mchid, "sub_mchid": self.sub_mchid}
        )

    def order_names(self, content: Mapping[str, Any]) -> dict[str, str]:
        """Return the numbers and apps of an order, as its query shows them."""
        return self.names | {name: content[name] for name in ("appid", "sp_appid", "sub_appid") if name in content}

    def payer(self, content: Mapping[str, Any]) -> dict[str, str]:
        """Return the payer of an order, as its query shows them: by the openid in each app."""
        if self.sub_mchid is None:
            return {"openid": OPENIDS[content["appid"]]}
        sub = {"sub_openid": OPENIDS[content["sub_appid"]]} if "sub_appid" in content else {}
        return {"sp_openid": OPENIDS[content["sp_appid"]]} | sub


MERCHANT = Party(MCHID, (APPID, MINI_PROGRAM_APPID))
PROVIDER = Party(SP_MCHID, (SP_APPID,), SUB_MCHID, (SUB_APPID,))
PARTY = web.RequestKey("party", Party)
"""The caller who has signed a request."""
PARTIES = {party.mchid: party for party in (MERCHANT, PROVIDER)}
