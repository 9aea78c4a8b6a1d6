"""Signatures verify with what the merchant was given, during a change of secrets with either, and with nothing else."""

from __future__ import annotations

import base64
import json
import runpy
import secrets
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from hutong import events
from hutong.clock import SystemClock
from hutong.errors import NotFound
from hutong.events.model import NewEndpoint
from hutong.events.webhooks.signing import new_key, signer
from support.fixtures.webhooks import Receiver, World

DAY = timedelta(days=1)
EXAMPLES = Path(__file__).parents[3] / "examples"


async def rotate(world: World, new: NewEndpoint, overlap: timedelta = DAY) -> NewEndpoint:
    async with world.database.transaction() as tx:
        return await events.rotate_endpoint(
            tx,
            world.merchant,
            new.endpoint.endpoint_id,
            overlap=overlap,
            now=world.clock.now(),
            vault=world.vault,
        )


async def delivered(world: World, receiver: Receiver) -> tuple[dict[str, str], bytes]:
    """One more event, and the request that told of it."""
    await world.happens()
    await world.deliverer().run_once()
    _, headers, body = receiver.requests[-1]
    return headers, body


def hmac_accepts(secret: str | None, headers: dict[str, str], body: bytes) -> bool:
    assert secret is not None
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def ed25519_accepts(public: str | None, headers: dict[str, str], body: bytes) -> bool:
    """As the standard says: any of the signatures `v1a` over id, timestamp and body."""
    assert public is not None
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for version, _, signature in (one.partition(",") for one in headers["webhook-signature"].split(" ")):
        assert version == "v1a"
        try:
            key.verify(base64.b64decode(signature), content)
        except InvalidSignature:
            continue
        return True
    return False


async def test_an_ed25519_signature_verifies_with_the_public_key_and_no_secret_is_shown(
    world: World, receiver: Receiver
) -> None:
    new = await world.endpoint(scheme=events.Scheme.ED25519)
    other = await world.endpoint("/other", scheme=events.Scheme.ED25519)
    assert new.secret is None
    assert new.endpoint.public_key is not None
    assert new.endpoint.public_key.startswith("whpk_")
    await world.happens()
    await world.deliverer().run_once()
    [(headers, body)] = [(headers, body) for path, headers, body in receiver.requests if path == "/hook"]
    assert ed25519_accepts(new.endpoint.public_key, headers, body)
    assert not ed25519_accepts(new.endpoint.public_key, headers, body + b" ")
    assert not ed25519_accepts(new.endpoint.public_key, headers | {"webhook-id": "evt_x"}, body)
    assert not ed25519_accepts(other.endpoint.public_key, headers, body)


async def test_the_example_takes_what_is_signed_by_ed25519_and_nothing_altered_old_or_unsigned(
    world: World, receiver: Receiver
) -> None:
    verified = runpy.run_path(str(EXAMPLES / "verify_ed25519.py"))["verified"]
    world.clock = SystemClock()  # type: ignore[assignment]  # the example looks at the machine's clock
    first = await world.endpoint(scheme=events.Scheme.ED25519)
    second = await rotate(world, first)
    headers, body = await delivered(world, receiver)
    for key in (first.endpoint.public_key, second.endpoint.public_key):
        assert verified(key, headers, body) == json.loads(body)
        assert verified(key, {name.title(): value for name, value in headers.items()}, body) == json.loads(body)
        assert verified(key, headers, body + b" ") is None
        for name, value in {
            "webhook-id": "evt_x",
            "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301),
            "webhook-signature": headers["webhook-signature"].replace("v1a,", "v1,"),
        }.items():
            assert verified(key, headers | {name: value}, body) is None, name
            assert verified(key, {other: value for other, value in headers.items() if other != name}, body) is None
        for broken in ("", "v1a", "v1a,", "v1a,x", "v1a,ü", ", ,", "v1a," + "A" * 88):
            assert verified(key, headers | {"webhook-signature": broken}, body) is None, broken
    third = await rotate(world, first, timedelta(0))
    headers, body = await delivered(world, receiver)
    assert [verified(one.endpoint.public_key, headers, body) is not None for one in (first, second, third)] == [
        False, False, True
    ]  # fmt: skip


def test_the_example_takes_no_recorded_request() -> None:
    verified = runpy.run_path(str(EXAMPLES / "verify_ed25519.py"))["verified"]
    key = new_key(events.Scheme.ED25519, secrets.token_bytes)
    for age_s, is_taken in ((0, True), (290, True), (310, False), (-310, False)):
        at = SystemClock().now() - timedelta(seconds=age_s)
        headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(at.timestamp()))}
        headers["webhook-signature"] = signer(key.secret)("evt_1", at, "{}")
        assert (verified(key.public, headers, b"{}") == {}) is is_taken, age_s


async def test_both_secrets_sign_until_the_overlap_ends(world: World, receiver: Receiver) -> None:
    world.clock = SystemClock()  # type: ignore[assignment]  # the library looks at the machine's clock
    first = await world.endpoint()
    second = await rotate(world, first)
    headers, body = await delivered(world, receiver)
    assert hmac_accepts(first.secret, headers, body)
    assert hmac_accepts(second.secret, headers, body)
    third = await rotate(world, first, timedelta(0))
    headers, body = await delivered(world, receiver)
    assert [hmac_accepts(one.secret, headers, body) for one in (first, second, third)] == [False, False, True]
    assert third.endpoint.previous_until is None


async def test_the_previous_secret_signs_no_longer_than_the_overlap(world: World, receiver: Receiver) -> None:
    first = await world.endpoint(scheme=events.Scheme.ED25519)
    second = await rotate(world, first)
    assert second.endpoint.previous_until == world.clock.now() + DAY
    keys = [first.endpoint.public_key, second.endpoint.public_key]
    headers, body = await delivered(world, receiver)
    assert [ed25519_accepts(key, headers, body) for key in keys] == [True, True]
    world.clock.advance(DAY)
    headers, body = await delivered(world, receiver)
    assert [ed25519_accepts(key, headers, body) for key in keys] == [False, True]


async def test_of_three_secrets_the_last_two_sign(world: World, receiver: Receiver) -> None:
    made = [await world.endpoint(scheme=events.Scheme.ED25519)]
    made += [await rotate(world, made[0]) for _ in range(2)]
    headers, body = await delivered(world, receiver)
    assert [ed25519_accepts(one.endpoint.public_key, headers, body) for one in made] == [False, True, True]
    assert len(headers["webhook-signature"].split(" ")) == 2


async def test_anothers_secret_cannot_be_rotated(world: World) -> None:
    foreign = await world.endpoint(merchant=world.ids.new())
    with pytest.raises(NotFound):
        await rotate(world, foreign)


async def test_no_secret_is_stored_in_the_clear(world: World) -> None:
    first = await world.endpoint()
    second = await rotate(world, first)
    for scheme in (events.Scheme.ED25519, events.Scheme.RSA2):
        await rotate(world, await world.endpoint("/" + scheme, scheme=scheme))
    async with world.database.transaction() as tx:
        rows = await tx.fetch("SELECT sealed_secret, sealed_previous FROM events.endpoint")
    kept = b"".join(row["sealed_secret"] + row["sealed_previous"] for row in rows)
    for text in (first.secret, second.secret, "whsk_", "PRIVATE KEY"):
        assert text is not None
        assert text.encode() not in kept
