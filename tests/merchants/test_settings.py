"""A merchant's settings: what is taken, who sees a change and when, and what the journal keeps of it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hutong import operators
from hutong.clock import ManualClock
from hutong.db import API_ROLE, Database, Tx
from hutong.errors import InvalidParameter, NotFound
from hutong.ids import Ids, encode
from hutong.merchants import (
    Directory,
    KeyLimits,
    Merchant,
    NewMerchant,
    Scope,
    Switching,
    create_api_key,
    create_merchant,
    find_merchants,
    list_api_keys,
    set_logo,
    update_merchant,
)
from hutong.merchants.errors import KeyExpired, MerchantDisabled, ScopeMissing
from support.pictures import png

JPEG = base64.b64decode(
    "/9j/2wBDAAMCAgICAgMCAgIDAwMDBAYEBAQEBAgGBgUGCQgKCgkICQkKDA8MCgsOCwkJDRENDg8QEBEQCgwSExIQEw8QEBD/yQALCAAgABgBAREA"
    "/8wABgAQEAX/2gAIAQEAAD8A0s8g/9k="
)
"""A frame of 24 by 32 pixels."""


def webp(kind: bytes, data: bytes) -> bytes:
    chunk = kind + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk


PICTURES = {
    "png": (png(24, 32), "image/png"),
    "jpeg": (JPEG, "image/jpeg"),
    "webp, lossy": (webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a\x18\x00\x20\x00" + b"\0" * 8), "image/webp"),
    "webp, lossless": (webp(b"VP8L", b"\x2f" + (23 | 31 << 14).to_bytes(4, "little") + b"\0" * 8), "image/webp"),
    "webp, extended": (webp(b"VP8X", b"\0\0\0\0" + b"\x17\0\0\x1f\0\0"), "image/webp"),
}


@pytest.fixture
async def merchant(database: Database, ids: Ids, clock: ManualClock) -> Merchant:
    async with database.transaction() as tx:
        return await create_merchant(tx, NewMerchant(ids.new(), "Example Store"), now=clock.now())


async def test_a_change_is_kept_seen_within_five_seconds_and_written_into_the_journal(
    database: Database, merchant: Merchant, clock: ManualClock
) -> None:
    seconds = [100.0]
    directory = Directory(database, monotonic=lambda: seconds[0])
    assert await directory.merchant(merchant.merchant_id) == merchant
    wanted = replace(
        merchant, name="茶馆", fee_ppm=6_000, return_origins=("https://tea.example",), color="#0a7d3c",
        returns_fee=False, payment_validity=timedelta(minutes=30), methods=("wechat", "alipay_qr"),
        switching=Switching.STRICT,
    )  # fmt: skip
    for _ in range(2):
        async with database.transaction() as tx:
            made = await update_merchant(tx, merchant.merchant_id, lambda _: wanted, reason="new sign", now=clock.now())
            assert made == wanted
    assert await directory.merchant(merchant.merchant_id) == merchant
    seconds[0] += 5
    assert await directory.merchant(merchant.merchant_id) == wanted
    async with database.transaction() as tx:
        about = ("merchant", encode("mer", merchant.merchant_id))
        (record,) = await operators.list_audit(tx, about=about)
    assert (record.entry.action, record.entry.reason) == ("merchant.update", "new sign")
    assert record.entry.before is not None
    assert record.entry.after is not None
    assert record.entry.before["switching"] is None
    assert record.entry.after == {
        "name": "茶馆", "fee_ppm": 6_000, "return_origins": ["https://tea.example"], "color": "#0a7d3c",
        "returns_fee": False, "payment_validity": 1_800, "methods": ["wechat", "alipay_qr"], "switching": "strict",
    }  # fmt: skip


WRONG: dict[str, tuple[str, Callable[[Merchant], Merchant]]] = {
    "no name": ("name", lambda merchant: replace(merchant, name=" ")),
    "a fee above the largest": ("fee_ppm", lambda merchant: replace(merchant, fee_ppm=200_001)),
    "an address for an origin": ("return_origins", lambda merchant: replace(merchant, return_origins=("https://a/b",))),
    "a validity of seconds": ("payment_validity", lambda merchant: replace(merchant, payment_validity=timedelta(0))),
    "a color by name": ("color", lambda merchant: replace(merchant, color="red")),
    "a color in capitals": ("color", lambda merchant: replace(merchant, color="#FFFFFF")),
    "a color with more behind it": ("color", lambda merchant: replace(merchant, color="#ffffff\n")),
    "a method that is a class": ("methods", lambda merchant: replace(merchant, methods=("Card",))),
    "a method twice": ("methods", lambda merchant: replace(merchant, methods=("wechat", "wechat"))),
    "too many methods": (
        "methods",
        lambda merchant: replace(merchant, methods=tuple(f"m{number}" for number in range(33))),
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_setting_is_refused_and_changes_nothing(
    tx: Tx, merchant: Merchant, clock: ManualClock, name: str
) -> None:
    param, change = WRONG[name]
    with pytest.raises(InvalidParameter) as refused:
        await update_merchant(tx, merchant.merchant_id, change, reason="test", now=clock.now())
    assert refused.value.param == param
    assert (await find_merchants(tx, [merchant.merchant_id]))[merchant.merchant_id] == merchant


async def test_what_does_not_exist_cannot_be_changed(tx: Tx, ids: Ids, clock: ManualClock) -> None:
    with pytest.raises(NotFound):
        await update_merchant(tx, ids.new(), lambda merchant: merchant, reason="test", now=clock.now())
    with pytest.raises(NotFound):
        await set_logo(tx, ids.new(), png(24, 32), reason="test", now=clock.now())


async def test_the_keys_of_a_disabled_merchant_are_refused_with_a_code_of_their_own_until_it_is_enabled(
    database: Database, merchant: Merchant, ids: Ids, clock: ManualClock
) -> None:
    seconds = [100.0]
    directory = Directory(database, monotonic=lambda: seconds[0])
    random, identifier = secrets.token_urlsafe(32), merchant.merchant_id
    async with database.transaction() as tx:
        key = await create_api_key(tx, identifier, key_id=ids.new(), random=random, now=clock.now())
    assert await directory.authenticate(key.secret, Scope.PAYMENTS_READ, now=clock.now()) == merchant
    for disabled_at in (clock.now(), None):
        async with database.transaction() as tx:
            await update_merchant(
                tx, identifier, lambda old, at=disabled_at: replace(old, disabled_at=at), reason="x", now=clock.now()
            )  # fmt: skip
        seconds[0] += 5
        if disabled_at is None:
            assert await directory.authenticate(key.secret, Scope.PAYMENTS_READ, now=clock.now()) == merchant
        else:
            with pytest.raises(MerchantDisabled):
                await directory.authenticate(key.secret, Scope.PAYMENTS_READ, now=clock.now())
        assert (await directory.merchant(identifier)).disabled_at == disabled_at  # its payments go on
    async with database.transaction() as tx:
        records = await operators.list_audit(tx, about=("merchant", encode("mer", identifier)))
    assert [record.entry.action for record in records] == ["merchant.enable", "merchant.disable"]


@pytest.mark.parametrize("name", PICTURES)
async def test_a_logo_is_served_as_what_its_content_proves_it_to_be(
    database: Database, merchant: Merchant, clock: ManualClock, name: str
) -> None:
    content, media_type = PICTURES[name]
    async with database.transaction() as tx:
        await set_logo(tx, merchant.merchant_id, content, reason="test", now=clock.now())
    directory = Directory(database)
    digest = (await directory.merchant(merchant.merchant_id)).logo
    assert digest is not None
    logo = await directory.logo(digest)
    assert logo is not None
    assert (logo.media_type, logo.content) == (media_type, content)
    async with database.transaction() as tx:
        await set_logo(tx, merchant.merchant_id, None, reason="test", now=clock.now())
        assert (await find_merchants(tx, [merchant.merchant_id]))[merchant.merchant_id].logo is None
    assert await Directory(database).logo(digest) is None


SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'><script>alert(1)</script></svg>"
NO_LOGOS = {
    "empty": b"",
    "SVG": SVG,
    "a page": b"<!doctype html>" + b"x" * 100,
    "GIF": b"GIF89a" + b"\x20\0\x20\0" + b"\0" * 50,
    "a PNG that goes on": png(24, 32) + SVG,
    "a PNG that breaks off": png(24, 32)[:-1],
    "a PNG with a wrong checksum": png(24, 32).replace(b"IDAT", b"IDAT"[::-1]),
    "a PNG too wide": png(1_025, 16),
    "a PNG too low": png(24, 15),
    "a PNG too large": png(24, 32, more=b"\0\x02\0\0zTXt" + b"\0" * 131_072),
    "a JPEG that breaks off": JPEG[:-2],
    "a JPEG without a frame": b"\xff\xd8\xff\xda\0\x08\x01\xff\xd9",
    "a JPEG that ends in a marker": b"\xff\xd8\xff\xd9",
    "a WebP that goes on": PICTURES["webp, lossy"][0] + SVG,
    "a WebP of no kind": webp(b"ALPH", b"\0" * 20),
    "a WebP without data": webp(b"VP8L", b"\x2f"),
    "a WebP too high": webp(b"VP8X", b"\0\0\0\0" + b"\x17\0\0\0\x04\0"),
}


@pytest.mark.parametrize("name", NO_LOGOS)
async def test_what_is_no_logo_is_refused(tx: Tx, merchant: Merchant, clock: ManualClock, name: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await set_logo(tx, merchant.merchant_id, NO_LOGOS[name], reason="test", now=clock.now())
    assert refused.value.param == "logo"
    assert (await find_merchants(tx, [merchant.merchant_id]))[merchant.merchant_id] == merchant


async def test_the_application_reads_settings_and_logos(
    database: Database, database_url: str, merchant: Merchant, clock: ManualClock
) -> None:
    async with database.transaction() as tx:
        await set_logo(tx, merchant.merchant_id, png(16, 16), reason="test", now=clock.now())
    async with Database.open(database_url, size=1, role=API_ROLE) as of_api:
        digest: Any = (await Directory(of_api).merchant(merchant.merchant_id)).logo
        assert await Directory(of_api).logo(digest) is not None


WRONG_LIMITS = [
    KeyLimits(frozenset()),
    KeyLimits(frozenset({"payments:read", "everything"})),
    KeyLimits(frozenset({"Payments:read"})),
]


@pytest.mark.parametrize("limits", WRONG_LIMITS)
async def test_a_scope_that_does_not_exist_is_refused(
    tx: Tx, merchant: Merchant, ids: Ids, clock: ManualClock, limits: KeyLimits
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await create_api_key(
            tx, merchant.merchant_id, key_id=ids.new(), random="r" * 43, now=clock.now(), limits=limits
        )
    assert refused.value.param == "scopes"


async def test_a_key_is_refused_from_its_expiry_on_and_cannot_be_made_expired(
    database: Database, merchant: Merchant, ids: Ids, clock: ManualClock
) -> None:
    limits = KeyLimits(frozenset({"payments:read", "events:read"}), clock.now() + timedelta(days=1))
    directory, identifier = Directory(database), merchant.merchant_id
    async with database.transaction() as tx:
        made = await create_api_key(tx, identifier, key_id=ids.new(), random="r" * 43, now=clock.now(), limits=limits)
        (listed,) = await list_api_keys(tx, [identifier])
    assert (listed.key_id, listed.scopes, listed.expires_at) == (made.key_id, limits.scopes, limits.expires_at)
    now = clock.advance(timedelta(days=1) - timedelta(microseconds=1))
    assert await directory.authenticate(made.secret, Scope.EVENTS_READ, now=now) == merchant
    with pytest.raises(ScopeMissing, match="refunds:write"):
        await directory.authenticate(made.secret, Scope.REFUNDS_WRITE, now=now)
    with pytest.raises(KeyExpired):
        await directory.authenticate(made.secret, Scope.EVENTS_READ, now=clock.advance(timedelta(microseconds=1)))
    with pytest.raises(InvalidParameter) as refused:
        async with database.transaction() as tx:
            await create_api_key(tx, identifier, key_id=ids.new(), random="s" * 43, now=clock.now(), limits=limits)
    assert refused.value.param == "expires_at"
