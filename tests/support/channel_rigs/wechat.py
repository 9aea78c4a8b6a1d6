"""WeChat Pay under the contract: in public-key mode and in certificate mode."""

from __future__ import annotations

from datetime import timedelta

from hutong.channels import Codes, Http
from hutong.channels.codes.codes import load_codes
from hutong.channels.wechat.adapter import WeChatPay
from hutong.channels.wechat.credentials import WeChatCredentials
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support.channel_rigs import Bench, Control, Rig


class WeChatRig(Rig):
    def theirs(self, our_no: str) -> str:
        return our_no.replace("_", "") if our_no.startswith("pyo_") else our_no


def make_rig(name: str, bench: Bench) -> Rig:
    keys = WeChatSandboxKeys.load(bench.folder / "wechat")
    other = WeChatSandboxKeys.load(bench.other_folder / "wechat")

    def make(*, http: Http | None = None, **changed: object) -> WeChatPay:
        raw = keys.credentials(bench.url, public_key_mode=name == "wechat") | changed
        credentials = WeChatCredentials.model_validate(raw, context={"sandbox": True, "stored": True})
        return WeChatPay(credentials, http or bench.http, Codes(load_codes(WeChatPay.code_map)))

    return WeChatRig(
        channel=make(),
        make=make,
        control=Control(bench.url, bench.session, "wechat"),
        method="wechat_native",
        currency="CNY",
        refusal=(400, "PARAM_ERROR"),
        absent=(404, "ORDER_NOT_EXIST"),
        unproven={
            "unsigned": "unsigned",
            "bad_signature": "bad_signature",
            "stale": "stale",
            "malformed": "unreadable",
            "too_long": "no_answer",
        },
        stranger={
            "platform_keys": {other.platform.serial: other.platform.certificate_pem},
            "api_v3_key": other.api_v3_key,
        },
        no_base_url={"base_url": "http://127.0.0.1:1"},
        notice_window=timedelta(seconds=301),
        signed_anew=True,
        payee={"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        notifies_payouts=True,
        harmless=frozenset({("close", "malformed")}),
    )
