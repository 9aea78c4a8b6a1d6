"""UnionPay under the contract, by its QR code: with the merchant's key in PEM, and as the file that UnionPay gives."""

from __future__ import annotations

from datetime import date, datetime

from hutong.channels.unionpay.adapter import UnionPay
from hutong.channels.unionpay.requests import settle_date
from hutong.channels.unionpay.responses import to_our_number
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys
from support.channel_rigs import NO_BASE_URL, Bench, Control, Rig, maker


class UnionPayRig(Rig):
    def theirs(self, our_no: str) -> str:
        return our_no.replace("_", "")

    def ours(self, their_no: str) -> str:
        return to_our_number(their_no) or their_no

    def bill_day(self, now: datetime) -> date:
        return settle_date(now, 23)

    async def next(self, interface: str, kind: str, **fields: object) -> None:
        """UnionPay has no way to close an order; the adapter asks instead."""
        await super().next("query" if interface == "close" else interface, kind, **fields)


def make_rig(name: str, bench: Bench) -> Rig:
    keys = UnionPaySandboxKeys.load(bench.folder / "unionpay")
    other = UnionPaySandboxKeys.load(bench.other_folder / "unionpay")

    make = maker(UnionPay, keys.credentials(bench.url, pfx=name == "unionpay-pfx"), bench)
    return UnionPayRig(
        channel=make(),
        make=make,
        control=Control(bench.url, bench.session, "unionpay"),
        method="unionpay_qr",
        currency="CNY",
        refusal=(200, "30"),
        absent=(200, "34"),
        stranger={
            "root_certificates": other.root.certificate_pem,
            "middle_certificates": other.middle.certificate_pem,
        },
        no_base_url=NO_BASE_URL | {"file_url": "http://127.0.0.1:1/"},
    )
