"""The whole way from a stored endpoint to the wire: whatever a merchant has written, nothing leaves for the inside."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hutong import events
from hutong.events import Scheme
from hutong.events.webhooks.endpoints import secret_context
from hutong.events.webhooks.worker import DeliveryCounts
from support.addresses import NOT_PUBLIC, URLS, Wire
from support.fixtures.webhooks import Receiver, World

PEM = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
SECRETS = {Scheme.HMAC: "whsec_" + "A" * 44, Scheme.ED25519: "whsk_" + "A" * 43 + "=", Scheme.RSA2: PEM}
METADATA = ("metadata.google.internal", "instance-data.ec2.internal", "kubernetes.default.svc", "db.merchant.example")


async def store(world: World, urls: Sequence[str], scheme: Scheme) -> None:
    """Endpoints as they lie in a database, past every check of today."""
    names = [world.ids.new() for _ in urls]
    async with world.database.transaction() as tx:
        for endpoint_id, url in zip(names, urls, strict=True):
            await tx.execute(
                "INSERT INTO events.endpoint "
                "(endpoint_id, merchant_id, url, types, scheme, public_key, sealed_secret, created_at) "
                "VALUES ($1, $2, $3, '{}', $4, $5, $6, now())",
                endpoint_id,
                world.merchant,
                url,
                scheme,
                None if scheme is Scheme.HMAC else "public",
                world.vault.seal(SECRETS[scheme].encode(), context=secret_context(endpoint_id)),
            )


async def errors_of(world: World) -> dict[str, set[str]]:
    """What the log says, by URL."""
    found: dict[str, set[str]] = {}
    async with world.database.transaction() as tx:
        for endpoint in await events.list_endpoints(tx, world.merchant):
            for one in await events.list_delivery_attempts(tx, endpoint.endpoint_id):
                found.setdefault(endpoint.url, set()).add(f"{one.error} {one.answer}")
    return found


@pytest.mark.parametrize("scheme", Scheme)
async def test_no_request_leaves_for_any_url_of_the_corpus(
    world: World, receiver: Receiver, wire: Wire, names: dict[str, list[list[str]]], scheme: Scheme
) -> None:
    names["merchant.example"] = [["8.8.8.8"]]
    literals = [f"https://[{address}]/" if ":" in address else f"https://{address}/" for address in NOT_PUBLIC]
    urls = sorted({*URLS, *literals, receiver.url + "/hook", receiver.url.replace("http:", "https:")})
    urls = [url for url in urls if "\x00" not in url]  # which PostgreSQL cannot hold
    await store(world, urls, scheme)
    await world.happens()
    worker = world.deliverer(allow_private=False, in_flight=1_000)
    assert await worker.run_once() == DeliveryCounts(delivered=0, failed=len(urls), dead=0)
    assert wire.attempts == []
    assert receiver.requests == []
    assert {error for errors in (await errors_of(world)).values() for error in errors} == {"url_refused None"}


@pytest.mark.parametrize("scheme", Scheme)
async def test_no_request_leaves_for_a_name_that_leads_inside(
    world: World, wire: Wire, names: dict[str, list[list[str]]], scheme: Scheme
) -> None:
    hosts = [f"m{index}.example" for index in range(len(NOT_PUBLIC))]
    names |= {host: [["8.8.8.8", address]] for host, address in zip(hosts, NOT_PUBLIC, strict=True)}
    names |= {host: [["169.254.169.254"]] for host in METADATA}
    urls = [f"https://{host}/hook" for host in (*hosts, *METADATA, "nowhere.example")]
    await store(world, urls, scheme)
    await world.happens()
    worker = world.deliverer(allow_private=False, in_flight=1_000)
    assert await worker.run_once() == DeliveryCounts(delivered=0, failed=len(urls), dead=0)
    assert wire.attempts == []
    # One word for all, so that the log tells nobody which names exist inside.
    assert {error for errors in (await errors_of(world)).values() for error in errors} == {"address_refused None"}


async def test_a_name_that_moves_inside_between_two_attempts_is_refused_at_the_second(
    world: World, wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["8.8.8.8"], ["10.0.0.1"]]
    await store(world, ["https://merchant.example/hook"], Scheme.HMAC)
    [event] = await world.happens()
    for _ in range(2):
        await world.deliverer(allow_private=False).run_once()
        [delivery] = await world.deliveries(event)
        assert delivery.next_at is not None
        world.later(delivery.next_at)
    assert wire.attempts == ["8.8.8.8"]
    assert delivery.last_error == "address_refused"


async def test_a_replay_is_guarded_like_a_first_attempt(
    world: World, wire: Wire, names: dict[str, list[list[str]]]
) -> None:
    names["merchant.example"] = [["127.0.0.1"]]
    await world.happens()
    await store(world, ["https://merchant.example/hook", "https://127.0.0.1/"], Scheme.HMAC)
    async with world.database.transaction() as tx:
        for endpoint in await events.list_endpoints(tx, world.merchant):
            await events.replay(tx, None, endpoint.endpoint_id, events.ReplayRequest(), now=world.clock.now())
    assert await world.deliverer(allow_private=False).run_once() == DeliveryCounts(delivered=0, failed=2, dead=0)
    assert wire.attempts == []


LOCATIONS = [
    "http://127.0.0.1:80/", "https://127.0.0.1/", "//127.0.0.1/", "/inside", "http://169.254.169.254/latest/", "..",
    "http://[::1]:80/", "file:///etc/passwd", "http://user@127.0.0.1:80/", "http://0x7f000001/", "", "?inside",
]  # fmt: skip


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308, 200])
async def test_no_answer_makes_us_ask_another_address(
    world: World, receiver: Receiver, wire: Wire, status: int, scheme: Scheme
) -> None:
    for index, location in enumerate(LOCATIONS):

        async def answer(_: web.Request, location: str = location) -> web.Response:
            redirect = {"Location": location, "Refresh": f"0; url={location}", "Content-Location": location}
            return web.Response(status=status, headers=redirect, text="success")

        receiver.answers[f"/hook/{index}"] = answer
    await store(world, [f"{receiver.url}/hook/{index}" for index in range(len(LOCATIONS))], scheme)
    await world.happens()
    counts = await world.deliverer().run_once()
    assert counts.delivered + counts.failed == len(LOCATIONS)
    assert counts.delivered == (len(LOCATIONS) if status == 200 else 0)
    assert wire.attempts == []
    assert sorted(path for path, _, _ in receiver.requests) == sorted(receiver.answers)
