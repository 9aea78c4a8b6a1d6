"""Keys over HTTP: free at once after what nobody knows or nobody did, and blind to the spelling of an instant."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.api.dependencies import claim_of
from hutong.api.schemas.payment import PaymentCreate
from hutong.merchants import Merchant
from support.running_platform import METHOD, PlatformApi, Shop

KEY = {"Idempotency-Key": "again-at-once"}
_COMMIT = asyncpg.transaction.Transaction.commit
_FETCH = asyncpg.Connection.fetch
_CLAIM_IS_OPEN = "SELECT true FROM idempotency.key WHERE owner_id = $1 AND status IS NULL"
_CLAIM_IS_ANSWERED = "SELECT true FROM idempotency.key WHERE owner_id = $1 AND status IS NOT NULL"


def lose_one_commit(patch: pytest.MonkeyPatch, shop: Shop, found: str, *, is_done: bool) -> list[str]:
    """Break the connection in the commit of the transaction that sees such a key of the merchant, done or not."""
    lost: list[str] = []

    async def commit(self: asyncpg.transaction.Transaction) -> None:
        connection: Any = self._connection
        if not lost and await connection.fetchval(found, shop.merchant_id) and not lost:  # another one meanwhile
            lost.append(found)
            await (_COMMIT(self) if is_done else self.rollback())
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        await _COMMIT(self)

    patch.setattr(asyncpg.transaction.Transaction, "commit", commit)
    return lost


async def request(platform_api: PlatformApi, shop: Shop, kind: str) -> tuple[str, dict[str, Any]]:
    """A payment or a refund to ask for: the path and the body."""
    if kind == "payment":
        return "/v1/payments", platform_api.order(method=METHOD)
    payment = await platform_api.create(shop)
    await platform_api.control("pay", code_url=payment["attempts"][0]["action"]["content"])
    await platform_api.until(shop, payment["id"], "succeeded")
    body = {"merchant_refund_no": f"{payment['merchant_order_no']}-R", "amount_minor": 1000}
    return f"/v1/payments/{payment['id']}/refunds", body


async def effects(platform_api: PlatformApi, shop: Shop, path: str) -> list[str]:
    """The ids of what there is by now, each with its attempts or its amount."""
    listed = (await platform_api.call("GET", path, shop=shop)).json["data"]
    return [f"{each['id']} {len(each.get('attempts', ())) or each['amount_minor']}" for each in listed]


@pytest.mark.parametrize("kind", ["payment", "refund"])
@pytest.mark.parametrize("found", [_CLAIM_IS_OPEN, _CLAIM_IS_ANSWERED], ids=["claimed", "answered"])
@pytest.mark.parametrize("is_done", [True, False], ids=["done", "undone"])
async def test_after_an_unknown_outcome_the_key_gets_the_one_true_answer_at_once(
    platform_api: PlatformApi, shop: Shop, kind: str, found: str, is_done: bool
) -> None:
    path, body = await request(platform_api, shop, kind)
    with pytest.MonkeyPatch.context() as patch:
        lost = lose_one_commit(patch, shop, found, is_done=is_done)
        unknown = await platform_api.call("POST", path, shop=shop, json=body, headers=KEY)
    assert lost == [found]
    assert (unknown.status, unknown.json["code"]) == (503, "outcome_unknown")
    answers = [await platform_api.call("POST", path, shop=shop, json=body, headers=KEY) for _ in range(3)]
    assert {answer.status for answer in answers} <= {200, 201}, answers[0].body
    assert {answer.body for answer in answers} == {answers[0].body}, "the first answer again, byte for byte"
    extent = "1" if kind == "payment" else "1000"
    assert await effects(platform_api, shop, path) == [f"{answers[0].json['id']} {extent}"]
    other = await platform_api.call("POST", path, shop=shop, json=body | {"amount_minor": 1}, headers=KEY)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("kind", ["payment", "refund"])
async def test_after_a_503_the_key_is_free_at_once(platform_api: PlatformApi, shop: Shop, kind: str) -> None:
    path, body = await request(platform_api, shop, kind)
    lost: list[str] = []

    async def fetch(self: Any, query: str, *args: Any, **options: Any) -> Any:
        if not lost and "UPDATE idempotency.key" in query:
            lost.append(query)
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return await _FETCH(self, query, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetch", fetch)
        refused = await platform_api.call("POST", path, shop=shop, json=body, headers=KEY)
    assert (refused.status, refused.json["code"], len(lost)) == (503, "unavailable", 1)
    answer = await platform_api.call("POST", path, shop=shop, json=body, headers=KEY)
    assert answer.status == 200, "the channel was called already, and nothing is placed twice"
    assert len(await effects(platform_api, shop, path)) == 1


async def test_a_key_that_cannot_be_released_yet_is_free_since_its_connection_is_gone(
    platform_api: PlatformApi, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = await request(platform_api, shop, "payment")
    refused: list[str] = []

    async def execute(self: Any, query: str, *args: Any, **options: Any) -> Any:
        if "to_timestamp(0)" in query and len(refused) < 8:
            refused.append(query)
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return await _EXECUTE(self, query, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        lose_one_commit(patch, shop, _CLAIM_IS_OPEN, is_done=True)
        patch.setattr(asyncpg.Connection, "execute", execute)
        unknown = await platform_api.call("POST", path, shop=shop, json=body, headers=KEY)
        assert (unknown.json["code"], 0 < len(refused) < 8) == ("outcome_unknown", True), (
            "the answer did not wait for it"
        )
        for _ in range(100):
            answer = await platform_api.call("POST", path, shop=shop, json=body, headers=KEY)
            if answer.status != 409:  # until the server has noticed the end of the connection
                break
            await asyncio.sleep(0.1)
    assert answer.status == 200
    assert len(await effects(platform_api, shop, path)) == 1


_EXECUTE = asyncpg.Connection.execute

MERCHANT = Merchant(UUID(int=1), "Example Store", 0, ())
instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1))  # noqa: DTZ001 - a zone is added
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@st.composite
def spellings(draw: st.DrawFn, instant: datetime) -> str:
    """A way in which RFC 3339 writes an instant."""
    zone = draw(offsets)
    local = instant.replace(tzinfo=UTC).astimezone(zone)
    text = local.strftime("%Y-%m-%dT%H:%M:%S")
    if local.microsecond or draw(st.booleans()):
        digits = f"{local.microsecond:06}"
        text += "." + (digits if draw(st.booleans()) else (digits.rstrip("0") or "0")) + "0" * draw(st.integers(0, 3))
    total = int(zone.utcoffset(None).total_seconds()) // 60
    offset = f"{'-' if total < 0 else '+'}{abs(total) // 60:02}:{abs(total) % 60:02}"
    return text.replace("T", draw(st.sampled_from("Tt"))) + draw(
        st.sampled_from(["Z", "z", "+00:00", "-00:00"] if total == 0 else [offset])
    )


def fingerprint(expires_at: str) -> bytes:
    body = PaymentCreate.model_validate(
        {"merchant_order_no": "1", "amount_minor": 1, "currency": "CNY", "subject": "x", "expires_at": expires_at}
    )
    claim = claim_of(MERCHANT, "key", "POST /v1/payments", body)
    assert claim is not None
    return claim.fingerprint


@given(data=st.data(), instant=instants, other=instants)
def test_the_same_instant_however_it_is_written_makes_the_same_request(
    data: st.DataObject, instant: datetime, other: datetime
) -> None:
    written = fingerprint(data.draw(spellings(instant)))
    assert fingerprint(data.draw(spellings(instant))) == written
    assert (fingerprint(data.draw(spellings(other))) == written) == (other == instant)


async def test_an_order_with_its_expiry_in_another_offset_is_the_same_order(
    platform_api: PlatformApi, shop: Shop
) -> None:
    expiry = (platform_api.clock.now() + timedelta(minutes=30)).replace(microsecond=0)
    order, headers = platform_api.order(), {"Idempotency-Key": "instant"}
    written = expiry.strftime("%Y-%m-%dT%H:%M:%SZ"), expiry.astimezone(timezone(timedelta(hours=8))).isoformat()
    first, again = [
        await platform_api.call("POST", "/v1/payments", shop=shop, json=order | {"expires_at": text}, headers=headers)
        for text in written
    ]
    assert (again.status, again.body) == (first.status, first.body)
    assert first.status == 201
