"""WeChat Pay under the contract: in public-key mode, and in certificate mode under a service provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hutong.channels.wechat.adapter import WeChatPay
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support.channel_rigs import Bench, Control, Rig, maker


class WeChatRig(Rig):
    def theirs(self, our_no: str) -> str:
        return our_no.replace("_", "") if our_no.startswith("pyo_") else our_no


class ProviderControl(Control):
    """Control of the simulator, whose bill is the one for a service provider."""

    async def post(self, path: str, **fields: object) -> Any:
        return await super().post(path, **({"kind": "partner_trade"} if path == "bill" else {}) | fields)


def make_rig(name: str, bench: Bench) -> Rig:
    keys = WeChatSandboxKeys.load(bench.folder / "wechat")
    other = WeChatSandboxKeys.load(bench.other_folder / "wechat")

    credentials = keys.credentials(bench.url)
    if name == "wechat-partner":
        credentials = keys.provider_credentials(bench.url, public_key_mode=False)
    make = maker(WeChatPay, credentials, bench, stored=True)
    control = ProviderControl if name == "wechat-partner" else Control
    return WeChatRig(
        channel=make(),
        make=make,
        control=control(bench.url, bench.session, "wechat"),
        method="wechat_native",
        currency="CNY",
        refusal=(400, "PARAM_ERROR"),
        absent=(404, "ORDER_NOT_EXIST"),
        stranger={
            "platform_keys": {other.platform.serial: other.platform.certificate_pem},
            "api_v3_key": other.api_v3_key,
        },
        notice_window=timedelta(seconds=301),
        signed_each_time=True,
        payee={"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        notifies_payouts=True,
        harmless=frozenset({("close", "malformed")}),
    )
