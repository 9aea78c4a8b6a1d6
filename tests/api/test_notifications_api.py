"""A channel's notification is accepted if it is genuine, fresh, new and about the ordered amount; no other is."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from prometheus_client import REGISTRY
from test_bad_input import check_problem

from hutong.ids import encode
from hutong.operators import Role
from support.running_platform import Answer, PlatformApi, Shop


async def written(platform_api: PlatformApi) -> dict[str, tuple[int, int]]:
    """The fingerprint, without the journal, which gets an entry about each refused notification."""
    await platform_api.app.state.traces.flush(platform_api.platform.database, at_end=True)
    return {name: rows for name, rows in (await platform_api.fingerprint()).items() if name not in JOURNAL}


JOURNAL = ("operators.audit", "operators.audit_head")


class Notice:
    """A notification under construction, by WeChat's rules and with its keys: each part may be spoiled."""

    def __init__(self, platform_api: PlatformApi, payment: Any) -> None:
        self.platform_api = platform_api
        self.keys = platform_api.keys
        attempt = payment["attempts"][0]["id"]
        credentials = self.keys.credentials(platform_api.sandbox_url)
        self.transaction: dict[str, Any] = {
            "appid": credentials["appid"],
            "mchid": credentials["mchid"],
            "out_trade_no": attempt,
            "transaction_id": f"4200{secrets.randbits(64):024d}",
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "success_time": platform_api.clock.now().isoformat(timespec="seconds"),
            "amount": {"total": payment["amount_minor"], "currency": "CNY"},
        }
        self.signing_key: rsa.RSAPrivateKey = self.keys.public.key
        self.serial = next(iter(credentials["platform_keys"]))  # type: ignore[call-overload]
        self.api_v3_key: str = self.keys.api_v3_key
        self.about = "transaction"
        self.age_s = 0
        self.algorithm = "AEAD_AES_256_GCM"
        self.account_id = encode("acc", platform_api.account_id)

    def make(self) -> tuple[dict[str, str], bytes]:
        nonce = secrets.token_hex(6)
        sealed = AESGCM(self.api_v3_key.encode()).encrypt(
            nonce.encode(), orjson.dumps(self.transaction), b"transaction"
        )
        body = orjson.dumps(
            {
                "id": secrets.token_hex(16),
                "event_type": "TRANSACTION.SUCCESS",
                "resource_type": "encrypt-resource",
                "resource": {
                    "original_type": self.about,
                    "algorithm": self.algorithm,
                    "nonce": nonce,
                    "associated_data": "transaction",
                    "ciphertext": base64.b64encode(sealed).decode(),
                },
            }
        )
        timestamp, nonce = str(int(self.platform_api.clock.now().timestamp()) - self.age_s), secrets.token_hex(16)
        signature = self.signing_key.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
        headers = {
            "Content-Type": "application/json",
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
        }
        return headers, body

    async def send(self, headers: dict[str, str] | list[tuple[str, str]], body: bytes) -> Answer:
        path = f"/channels/{self.account_id}/notifications"
        return await self.platform_api.call("POST", path, body=body, headers=headers)


REFUSAL = b'{"code":"FAIL","message":"refused"}'
"""WeChat's own form of a refusal. It is the same for every reason, so that a forger learns nothing."""


def check_refused(answer: Answer) -> None:
    assert (answer.status, answer.body) == (401, REFUSAL)


def refusals(reason: str) -> float:
    labels = {"channel": "wechat", "reason": reason}
    return REGISTRY.get_sample_value("hutong_notifications_refused_total", labels) or 0.0


@pytest.fixture
async def payment(platform_api: PlatformApi, shop: Shop) -> Any:
    return await platform_api.create(shop)


@pytest.fixture
def notice(platform_api: PlatformApi, payment: Any) -> Notice:
    return Notice(platform_api, payment)


async def test_a_genuine_notification_is_booked_before_it_is_answered(
    platform_api: PlatformApi, shop: Shop, payment: Any, notice: Notice
) -> None:
    answer = await notice.send(*notice.make())
    assert (answer.status, answer.body) == (204, b"")
    assert (await platform_api.get(shop, payment["id"]))["status"] == "succeeded"


async def test_a_notification_with_a_certificate_that_is_new_is_accepted_at_once(
    platform_api: PlatformApi, shop: Shop, payment: Any, notice: Notice
) -> None:
    notice.serial = notice.keys.platform_next.serial
    notice.signing_key = notice.keys.public.key
    check_refused(await notice.send(*notice.make()))  # whoever names the certificate must have its key
    notice.signing_key = notice.keys.platform_next.key
    assert (await notice.send(*notice.make())).status == 204
    assert (await platform_api.get(shop, payment["id"]))["status"] == "succeeded"


@pytest.mark.parametrize("name", ["Wechatpay-Signature", "Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Serial"])
async def test_a_header_of_the_signature_that_is_sent_twice_is_never_genuine(
    platform_api: PlatformApi, notice: Notice, name: str
) -> None:
    headers, body = notice.make()
    for value in (headers[name], "", "x"):
        before = await written(platform_api)
        for doubled in ([*headers.items(), (name, value)], [(name, value), *headers.items()]):
            check_refused(await notice.send(doubled, body))
        assert await written(platform_api) == before
    proxied = [*headers.items(), ("X-Forwarded-For", "a"), ("X-Forwarded-For", "b")]
    assert (await notice.send(proxied, body)).status == 204


async def test_two_signatures_are_not_one_of_stripes(platform_api: PlatformApi) -> None:
    """Joined, they would read as one header that has a right signature."""
    secret = (platform_api.platform.settings.home / "stripe" / "webhook_secret").read_text().strip()
    now = int(platform_api.clock.now().timestamp())
    event = {"id": "evt_1", "object": "event", "type": "customer.created", "created": now, "data": {"object": {}}}
    body = orjson.dumps(event)
    right = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    path = f"/channels/{encode('acc', platform_api.account_ids['stripe'])}/notifications"
    signed = ("Stripe-Signature", f"t={now},v1={right}")
    assert (await platform_api.call("POST", path, headers=[signed], body=body)).status == 200
    for other in (signed, ("Stripe-Signature", f"v1={'0' * 64}"), ("Stripe-Signature", "")):
        for both in ([signed, other], [other, signed]):
            answer = await platform_api.call("POST", path, headers=both, body=body)
            assert answer.status in (400, 401), both


async def test_a_repetition_changes_nothing_and_is_accepted_a_replay_is_refused(
    platform_api: PlatformApi, payment: Any, notice: Notice
) -> None:
    message = notice.make()
    assert (await notice.send(*message)).status == 204
    transfers = await platform_api.transfers_of(payment["id"])
    before = await written(platform_api)
    check_refused(await notice.send(*message))
    assert await written(platform_api) == before
    assert (await notice.send(*notice.make())).status == 204  # signed again, as WeChat does
    assert await platform_api.transfers_of(payment["id"]) == transfers


async def test_fifty_at_once_have_one_effect(platform_api: PlatformApi, payment: Any, notice: Notice) -> None:
    answers = await asyncio.gather(*(notice.send(*notice.make()) for _ in range(50)))
    assert {answer.status for answer in answers} == {204}
    assert len(await platform_api.transfers_of(payment["id"])) == 2  # the amount and the fee
    async with platform_api.admin.transaction() as tx:
        events = await tx.fetch("SELECT type FROM events.outbox WHERE data->>'id' = $1", payment["id"])
    assert [row["type"] for row in events] == ["payment.succeeded"]


def _change(**changed: Any) -> Callable[[Notice], None]:
    return lambda notice: notice.transaction.update(changed)


def _set(name: str, value: Any) -> Callable[[Notice], None]:
    return lambda notice: setattr(notice, name, value)


def _sign_with(name: str) -> Callable[[Notice], None]:
    return lambda notice: setattr(notice, "signing_key", getattr(notice.keys, name).key)


ABSENT = "att_01h455vb4pex5vsknk084sn02q"
SPOILED: dict[str, tuple[Callable[[Notice], None], str]] = {
    "another merchant": (_change(mchid="1900000001"), "notification_refused"),
    "another application": (_change(appid="wx0000000000000000"), "notification_refused"),
    "stale": (_set("age_s", 301), "notification_refused"),
    "from the future": (_set("age_s", -310), "notification_refused"),
    "unknown serial": (_set("serial", "PUB_KEY_ID_0000000000000000000000000000"), "notification_refused"),
    "another certificate": (_sign_with("platform"), "notification_refused"),
    "signed by the merchant": (_sign_with("merchant"), "notification_refused"),
    "a forger's key": (_set("signing_key", rsa.generate_private_key(65537, 2048)), "notification_refused"),
    "another secret": (_set("api_v3_key", "0" * 32), "notification_refused"),
    "another algorithm": (_set("algorithm", "AEAD_AES_128_GCM"), "notification_refused"),
}


MISFITS: dict[str, tuple[Callable[[Notice], None], str]] = {
    "amount lower": (_change(amount={"total": 1998, "currency": "CNY"}), "amount_mismatch"),
    "amount higher": (_change(amount={"total": 2000, "currency": "CNY"}), "amount_mismatch"),
    "amount zero": (_change(amount={"total": 0, "currency": "CNY"}), "unreadable"),
    "amount negative": (_change(amount={"total": -1999, "currency": "CNY"}), "unreadable"),
    "amount text": (_change(amount={"total": "1999", "currency": "CNY"}), "unreadable"),
    "amount float": (_change(amount={"total": 1999.0, "currency": "CNY"}), "unreadable"),
    "amount missing": (_change(amount=None), "unreadable"),
    "currency": (_change(amount={"total": 1999, "currency": "JPY"}), "currency_mismatch"),
    "another order": (_change(out_trade_no=ABSENT), "unknown_number"),
    "no order of ours": (_change(out_trade_no="x"), "unreadable"),
    "no order": (_change(out_trade_no=None), "unreadable"),
    "no channel number": (_change(transaction_id=None), "unreadable"),
}


@pytest.mark.parametrize("name", MISFITS)
async def test_a_genuine_notification_that_does_not_fit_is_kept_and_accepted(
    platform_api: PlatformApi, shop: Shop, payment: Any, notice: Notice, name: str
) -> None:
    spoil, kind = MISFITS[name]
    spoil(notice)
    with structlog.testing.capture_logs() as logs:
        answer = await notice.send(*notice.make())
    assert (answer.status, answer.body) == (204, b"")
    assert [entry["kind"] for entry in logs if entry["event"] == "exception_opened"] in ([kind], [])
    async with platform_api.admin.transaction() as tx:
        kept = await tx.fetch("SELECT kind, message FROM payments.exception")
    assert kind in {row["kind"] for row in kept}
    assert all(notice.transaction["mchid"].encode() not in row["message"] for row in kept)
    assert (await platform_api.get(shop, payment["id"]))["status"] == "processing"


@pytest.mark.parametrize("name", SPOILED)
async def test_a_notification_that_is_not_right_writes_nothing(
    platform_api: PlatformApi, notice: Notice, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The channel is answered in its own form without a reason; our log and metrics have the reason."""
    spoil, reason = SPOILED[name]
    spoil(notice)
    before, counted = await written(platform_api), refusals(reason)
    headers, body = notice.make()
    with structlog.testing.capture_logs() as logs:
        check_refused(await notice.send(headers, body))
    assert await written(platform_api) == before
    assert refusals(reason) == counted + 1
    logged = "".join([*capfd.readouterr(), repr(logs)])
    entry = next(entry for entry in logs if entry["event"] == "notification_refused")
    assert (entry["channel"], entry["account"], entry["reason"]) == ("wechat", notice.account_id, reason)
    assert headers["Wechatpay-Signature"] not in logged
    assert notice.keys.api_v3_key not in logged


@pytest.mark.parametrize("account_id", ["acc_01h455vb4pex5vsknk084sn02q", "x"])
async def test_a_notification_for_no_account_is_not_found(notice: Notice, account_id: str) -> None:
    notice.account_id = account_id
    answer = await notice.send(*notice.make())
    assert (answer.status, check_problem(answer)["code"]) == (404, "not_found")


async def test_any_bit_flipped_anywhere_is_refused(platform_api: PlatformApi, notice: Notice) -> None:
    headers, body = notice.make()
    before = await written(platform_api)
    signed = [name for name in headers if name.startswith("Wechatpay-")]
    sent = []
    for name in signed:
        value = headers[name]
        for place in range(0, len(value), max(1, len(value) // 24)):
            for bit in (1, 4):
                flipped = value[:place] + chr(ord(value[place]) ^ bit) + value[place + 1 :]
                if flipped.isprintable() and flipped == flipped.strip():
                    sent.append(notice.send(headers | {name: flipped}, body))
        sent.append(notice.send(headers | {name: ""}, body))
        sent.append(notice.send({key: kept for key, kept in headers.items() if key != name}, body))
        sent.append(notice.send([*headers.items(), (name, value)], body))  # doubled
        sent.append(notice.send([*headers.items(), (name, "0")], body))
    for place in range(0, len(body), max(1, len(body) // 150)):
        sent.append(notice.send(headers, body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]))
        sent.append(notice.send(headers, body[:place]))
    sent += [notice.send(headers, body + b" "), notice.send(headers, b" " + body), notice.send(headers, b"")]
    answers = await asyncio.gather(*sent)
    assert len(answers) > 400
    assert {(answer.status, answer.body) for answer in answers} == {(401, REFUSAL)}
    assert await written(platform_api) == before
    assert (await notice.send(headers, body)).status == 204  # unspoiled, it is taken


async def test_wechats_probes_with_wrong_signatures_are_refused(notice: Notice) -> None:
    headers, body = notice.make()
    check_refused(await notice.send(headers | {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + "A" * 300}, body))


async def test_an_exception_is_listed_and_decided_over_http_by_two_persons(
    platform_api: PlatformApi, shop: Shop, payment: Any, notice: Notice
) -> None:
    _change(amount={"total": 1500, "currency": "CNY"})(notice)
    await notice.send(*notice.make())
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    path = "/v1/operator/exceptions"
    listed = await platform_api.call("GET", f"{path}?status=open&kind=amount_mismatch&limit=100", headers=maker)
    (item,) = [item for item in listed.json["data"] if item["payment_id"] == payment["id"]]
    assert (item["amount_minor"], item["expected_minor"], item["seen"]) == (1500, 1999, 1)
    assert (await platform_api.call("GET", f"{path}/{item['id']}", headers=maker)).json == item

    decide = f"{path}/{item['id']}/decide"
    wrong = await platform_api.call("POST", decide, headers=maker, json={"decision": "keep", "reason": "x"})
    assert (wrong.status, check_problem(wrong)["param"]) == (422, "decision")
    _, viewer = await platform_api.person(Role.VIEWER)
    body = {"decision": "take", "reason": "the merchant agrees"}
    assert (await platform_api.call("POST", decide, headers=viewer, json=body)).status == 403
    made = await platform_api.call("POST", decide, headers=maker, json=body)
    assert (made.status, made.json["action"]) == (201, "exception.decide")
    assert (await platform_api.get(shop, payment["id"]))["status"] == "processing"
    approve = f"/v1/operator/proposals/{made.json['id']}/approve"
    assert (await platform_api.call("POST", approve, headers=checker, json={"reason": "seen"})).status == 200
    paid = await platform_api.get(shop, payment["id"])
    assert (paid["status"], paid["amount_captured_minor"]) == ("succeeded", 1500)
    again = await platform_api.call("POST", decide, headers=maker, json=body)
    assert (again.status, check_problem(again)["code"]) == (409, "exception_not_decidable")


async def test_a_refund_of_another_amount_is_decided_over_http_and_ends(
    platform_api: PlatformApi, shop: Shop, payment: Any, notice: Notice
) -> None:
    await notice.send(*notice.make())
    body = {"merchant_refund_no": f"{payment['merchant_order_no']}-R", "amount_minor": 1000}
    await platform_api.control("next", interface="refund", kind="bad_signature")
    made = await platform_api.call("POST", f"/v1/payments/{payment['id']}/refunds", shop=shop, json=body)
    assert made.json["state"] == "unknown"
    notice.about, number = "refund", made.json["id"]
    notice.transaction = {
        "mchid": notice.transaction["mchid"],
        "transaction_id": notice.transaction["transaction_id"],
        "out_trade_no": notice.transaction["out_trade_no"],
        "refund_id": "50000000382026010100000000001",
        "out_refund_no": number,
        "refund_status": "SUCCESS",
        "success_time": platform_api.clock.now().isoformat(timespec="seconds"),
        "amount": {"total": 1999, "refund": 990, "payer_total": 1999, "payer_refund": 990},
    }
    answer = await notice.send(*notice.make())
    assert (answer.status, answer.body) == (204, b"")
    _, maker = await platform_api.person(Role.OPERATOR)
    _, checker = await platform_api.person(Role.APPROVER)
    path = "/v1/operator/exceptions"
    listed = await platform_api.call("GET", f"{path}?status=open&limit=100", headers=maker)
    (item,) = [item for item in listed.json["data"] if item["refund_id"] == number]
    assert (item["about"], item["amount_minor"], item["expected_minor"]) == ("refund", 990, 1000)
    decision = {"decision": "take", "reason": "seen in the channel's portal"}
    proposal = await platform_api.call("POST", f"{path}/{item['id']}/decide", headers=maker, json=decision)
    approve = f"/v1/operator/proposals/{proposal.json['id']}/approve"
    assert (await platform_api.call("POST", approve, headers=checker, json={"reason": "seen"})).status == 200
    refund = (await platform_api.call("GET", f"/v1/refunds/{number}", shop=shop)).json
    assert (refund["state"], refund["amount_minor"]) == ("succeeded", 990)
    after = await platform_api.get(shop, payment["id"])
    assert (after["amount_refunded_minor"], after["amount_refunding_minor"]) == (990, 0)
    again = await platform_api.call("POST", f"/v1/payments/{payment['id']}/refunds", shop=shop, json=body)
    assert (again.status, again.json["id"]) == (200, number), "the same order, though another amount went back"


@pytest.mark.parametrize("exception_id", ["exc_01h455vb4pex5vsknk084sn02q", "x"])
async def test_an_exception_that_there_is_not_is_not_found(platform_api: PlatformApi, exception_id: str) -> None:
    _, headers = await platform_api.person(Role.OPERATOR)
    for method, path, body in (("GET", "", None), ("POST", "/decide", {"decision": "ignore", "reason": "none"})):
        answer = await platform_api.call(
            method, f"/v1/operator/exceptions/{exception_id}{path}", headers=headers, json=body
        )
        assert (answer.status, check_problem(answer)["code"]) == (404, "not_found")
