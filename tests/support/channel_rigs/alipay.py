"""Alipay under the contract, in public-key mode, and in certificate mode by an application that acts for the merchant.

Payers scan every code at once.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from hutong.channels import ChannelAnswer, ChannelState, Http, PayRequest
from hutong.channels.alipay.adapter import Alipay
from hutong.sandbox.alipay.keys import AlipaySandboxKeys
from support.channel_rigs import UNPROVEN, Bench, Control, Rig, maker


class Scanned(Alipay):
    """The adapter with a payer in front of it: Alipay knows an order only once its code has been scanned."""

    control: Control

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        answer = await super().pay(request, now=now)
        body = {"order_no": request.attempt_no}
        async with self.control.session.post(f"{self.control.url}/control/alipay/scan", json=body) as response:
            assert response.status in (200, 404)
        return answer


@cache
def _keys(folder: Path) -> AlipaySandboxKeys:
    return AlipaySandboxKeys.load(folder)


def make_rig(name: str, bench: Bench) -> Rig:
    certificate_mode = name == "alipay-partner"
    keys, other = _keys(bench.folder / "alipay"), _keys(bench.other_folder / "alipay")
    control = Control(bench.url, bench.session, "alipay")

    credentials = keys.credentials(bench.url)
    if certificate_mode:
        credentials = keys.provider_credentials(bench.url, certificate_mode=True)
    make_scanned: Any = maker(Scanned, credentials, bench)

    def make(*, http: Http | None = None, **changed: object) -> Scanned:
        made = make_scanned(http=http, **changed)
        made.control = control
        return made

    stranger: dict[str, object] = {"alipay_public_keys": [other.public.public_pem]}
    if certificate_mode:
        # The root stays ours, or the simulator would refuse us; Alipay's certificate is another that it issued.
        stranger = {"alipay_certificates": [keys.chain(keys.other_merchant)]}
    return Rig(
        channel=make(),
        make=make,
        control=control,
        method="alipay_qr",
        currency="CNY",
        funders={"platform": "channel"},
        refusal=(400, "ACQ.INVALID_PARAMETER"),
        absent=(404, "ACQ.TRADE_NOT_EXIST"),
        unproven={kind: code for kind, code in UNPROVEN.items() if kind != "stale"},
        stranger=stranger,
        declined=ChannelState.PENDING,
        notifies_refunds=False,
        payee={"identity": "2088101117955611", "identity_type": "ALIPAY_USER_ID", "name": "张三"},
    )
