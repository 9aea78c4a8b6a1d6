"""Cards through the whole platform: paid by token, reserved and captured, declined, given back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

from hutong.demo import RunningPlatform


def call(url: str, key: str | None = None, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def until(url: str, key: str, **wanted: object) -> dict[str, Any]:
    deadline = time.monotonic() + 240
    while True:
        found = call(url, key)
        if all(found[name] == value for name, value in wanted.items()):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_a_card_pays_is_captured_declined_and_refunded(platform: RunningPlatform, environment: dict[str, str]) -> None:
    created = subprocess.run(
        [sys.executable, "-m", "hutong", "merchant", "create", "Example Store", "--json"],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    key: str = json.loads(created.stdout)["api_key"]
    payments = f"{platform.address}/v1/payments"

    def order(number: str, token: str, **more: object) -> dict[str, Any]:
        fields = {"merchant_order_no": number, "amount_minor": 8800, "currency": "USD", "subject": "Jasmine tea"}
        return call(payments, key, fields | {"method": "card", "payer": {"token": token}} | more)

    paid = order("card-1", "pm_card_visa")
    paid = until(f"{payments}/{paid['id']}", key, status="succeeded")
    assert (paid["amount_captured_minor"], paid["attempts"][0]["channel"]) == (8800, "stripe")

    held = order("card-2", "pm_card_visa", capture_method="manual")
    until(f"{payments}/{held['id']}", key, status="requires_capture")
    call(f"{payments}/{held['id']}/capture", key, {"amount_minor": 5000})
    until(f"{payments}/{held['id']}", key, status="succeeded", amount_captured_minor=5000)

    declined = order("card-3", "pm_card_visa_chargeDeclinedInsufficientFunds")
    assert (declined["status"], declined["attempts"][0]["state"]) == ("requires_payment", "failed")
    assert declined["attempts"][0]["channel_code"] == "card_declined/insufficient_funds"

    waiting = order("card-4", "pm_card_threeDSecure2Required")
    assert waiting["attempts"][0]["action"]["kind"] == "redirect"
    call(f"{platform.sandbox_address}/control/stripe/pay", body={"order_no": waiting["attempts"][0]["id"]})
    until(f"{payments}/{waiting['id']}", key, status="succeeded")

    refund = call(f"{payments}/{paid['id']}/refunds", key, {"merchant_refund_no": "card-1-r1", "amount_minor": 3000})
    until(f"{platform.address}/v1/refunds/{refund['id']}", key, state="succeeded")
    until(f"{payments}/{paid['id']}", key, amount_refunded_minor=3000)
