"""The guide to Alipay says what an account consists of, how it is paid with, and which faults there are."""

from __future__ import annotations

import re
from pathlib import Path

from hutong.channels.alipay import diagnostics as alipay_doctor
from hutong.channels.alipay.adapter import Alipay

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "alipay.md").read_text()


def documented(heading: str) -> list[str]:
    table = GUIDE.partition(heading)[2].partition("\n\n")[0]
    return [
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    ]


def test_every_credential_and_method_is_documented() -> None:
    assert documented("| field | what |") == list(Alipay.Credentials.model_fields)
    assert documented("| method | product | what the payer does |") == list(Alipay.capabilities.methods)


def test_every_fault_is_documented() -> None:
    named = {fault for _, fault, _ in [*alipay_doctor._FAULTS.values(), *alipay_doctor._UNKNOWN_KEY.values()]}
    assert sorted(documented("| fault | meaning |")) == sorted(
        named | {"certificate_not_yet_valid", "seller_id_wrong", "auth_app_id_wrong"}
    )
