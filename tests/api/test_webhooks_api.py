"""Merchants manage their endpoints, see the outcome of each attempt and have events sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from hutong import events
from support.event_forms import EventForms
from support.running_platform import PlatformApi, Shop

ENDPOINTS = "/v1/webhook-endpoints"


class Hook:
    """A merchant's server."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.bodies: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.Response(status=self.status, text="internal: db.example:5432")


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    application = web.Application()
    application.router.add_post("/hook", made.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


async def create(platform_api: PlatformApi, shop: Shop, hook: Hook, **changed: Any) -> Any:
    answer = await platform_api.call("POST", ENDPOINTS, shop=shop, json={"url": hook.url} | changed)
    assert answer.status == 201, answer.body
    return answer.json


async def act(platform_api: PlatformApi, shop: Shop, endpoint: Any, verb: str, body: Any = None) -> Any:
    path = f"{ENDPOINTS}/{endpoint['id']}/{verb}"
    answer = await platform_api.call("GET" if verb.startswith("deliveries") else "POST", path, shop=shop, json=body)
    assert answer.status == 200, answer.body
    return answer.json


async def deliver(platform_api: PlatformApi) -> None:
    worker = events.WebhookWorker(
        platform_api.database, platform_api.vault, platform_api.clock, new_id=platform_api.ids.new, allow_private=True
    )
    while (await worker.run_once()).delivered:
        pass


async def closed(platform_api: PlatformApi, shop: Shop) -> Any:
    """A payment that has ended, so that there is something to tell."""
    payment = await platform_api.create(shop)
    await platform_api.call("POST", f"/v1/payments/{payment['id']}/close", shop=shop)
    return await platform_api.until(shop, payment["id"], "closed")


async def test_a_webhook_carries_the_payment_as_the_api_shows_it(
    platform_api: PlatformApi, shop: Shop, hook: Hook
) -> None:
    await create(platform_api, shop, hook)
    payment = await closed(platform_api, shop)
    await deliver(platform_api)
    [event] = hook.bodies
    assert EventForms().faults(event) == []
    assert (event["type"], event["version"], event["data"]) == ("payment.closed", 1, payment)


async def test_deliveries_show_the_request_and_the_status_but_nothing_of_the_answer(
    platform_api: PlatformApi, shop: Shop, hook: Hook
) -> None:
    endpoint = await create(platform_api, shop, hook)
    hook.status = 502
    await closed(platform_api, shop)
    await deliver(platform_api)
    listed = await act(platform_api, shop, endpoint, "deliveries")
    [one] = listed["data"]
    assert (one["state"], one["status"], one["error"], one["number"]) == ("failed", 502, "status", 1)
    assert one["id"].startswith("whd_")
    assert one["request"]["headers"]["webhook-signature"] == "[masked]"
    assert "db.example" not in str(listed)
    assert (await act(platform_api, shop, endpoint, f"deliveries?event_id={one['event_id']}&state=failed"))["data"]
    assert not (await act(platform_api, shop, endpoint, "deliveries?state=delivered"))["data"]


async def test_deliveries_come_page_by_page(platform_api: PlatformApi, shop: Shop, hook: Hook) -> None:
    endpoint = await create(platform_api, shop, hook)
    for _ in range(3):
        await closed(platform_api, shop)
    await deliver(platform_api)
    first = await act(platform_api, shop, endpoint, "deliveries?limit=2")
    last = await act(platform_api, shop, endpoint, f"deliveries?limit=2&cursor={first['next_cursor']}")
    assert (first["has_more"], last["has_more"], last["next_cursor"]) == (True, False, None)
    assert len({one["id"] for one in first["data"] + last["data"]}) == 3


async def test_one_a_range_and_all_failed_are_sent_again(platform_api: PlatformApi, shop: Shop, hook: Hook) -> None:
    endpoint = await create(platform_api, shop, hook)
    await closed(platform_api, shop)
    await deliver(platform_api)
    [first] = hook.bodies
    for body, count in [
        ({"event_id": first["id"]}, 1),
        ({"begin": first["created_at"]}, 1),
        ({"end": first["created_at"][:-5] + "Z", "begin": "2020-01-01T00:00:00Z"}, 0),
        ({"failed": True}, 0),
    ]:
        hook.bodies.clear()
        done = await act(platform_api, shop, endpoint, "replay", body)
        assert done == {"object": "webhook_replay", "replayed": count, "has_more": False, "next_cursor": None}, body
        await deliver(platform_api)
        assert hook.bodies == [first] * count


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"failed": False},
        {"event_id": "evt_01h455vb4pex5vsknk084sn02q", "failed": True},
        {"event_id": "pay_01h455vb4pex5vsknk084sn02q"},
        {"event_id": "evt_01h455vb4pex5vsknk084sn02q"},
        {"begin": "yesterday"},
        {"failed": True, "cursor": "evt_x"},
        {"all": True},
    ],
)
async def test_a_replay_of_nothing_that_can_be_named_is_refused(
    platform_api: PlatformApi, shop: Shop, hook: Hook, body: Any
) -> None:
    endpoint = await create(platform_api, shop, hook)
    answer = await platform_api.call("POST", f"{ENDPOINTS}/{endpoint['id']}/replay", shop=shop, json=body)
    assert answer.status == 422, answer.body


async def test_a_new_secret_is_shown_once_and_the_old_one_signs_for_as_long_as_asked(
    platform_api: PlatformApi, shop: Shop, hook: Hook
) -> None:
    endpoint = await create(platform_api, shop, hook)
    rotated = await act(platform_api, shop, endpoint, "rotate", {"overlap_hours": 2})
    assert rotated["secret"] not in (None, endpoint["secret"])
    assert rotated["previous_until"] is not None
    listed = (await platform_api.call("GET", ENDPOINTS, shop=shop)).json["data"]
    assert [one["id"] for one in listed] == [endpoint["id"]]
    assert "secret" not in listed[0]


@pytest.mark.parametrize("scheme", ["ed25519", "rsa2"])
async def test_a_key_pair_shows_its_public_half_and_no_secret(
    platform_api: PlatformApi, shop: Shop, hook: Hook, scheme: str
) -> None:
    endpoint = await create(platform_api, shop, hook, scheme=scheme)
    assert (endpoint["secret"], endpoint["scheme"]) == (None, scheme)
    rotated = await act(platform_api, shop, endpoint, "rotate", {})
    assert rotated["secret"] is None
    assert rotated["public_key"] != endpoint["public_key"]
    assert "PRIVATE" not in str(rotated)


async def test_a_disabled_endpoint_can_be_enabled_again(platform_api: PlatformApi, shop: Shop, hook: Hook) -> None:
    endpoint = await create(platform_api, shop, hook)
    gone = await platform_api.call("DELETE", f"{ENDPOINTS}/{endpoint['id']}", shop=shop)
    assert (gone.json["enabled"], gone.json["disabled_reason"]) == (False, "merchant")
    refused = await platform_api.call("POST", f"{ENDPOINTS}/{endpoint['id']}/replay", shop=shop, json={"failed": True})
    assert refused.status == 409
    assert (await act(platform_api, shop, endpoint, "enable"))["enabled"] is True
