"""Endpoints belong to one merchant, and keep their secret to themselves."""

from __future__ import annotations

import base64

import pytest

from hutong import events, ids
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.events.webhooks.endpoints import ENDPOINTS_MAX
from support.fixtures.webhooks import World


async def test_the_secret_is_a_standard_one_shown_once_and_sealed_for_its_row(world: World) -> None:
    new = await world.endpoint(types=("payment.succeeded",))
    assert len(base64.b64decode(new.secret.removeprefix("whsec_"))) == 32
    async with world.database.transaction() as tx:
        sealed = await tx.fetchval("SELECT sealed_secret FROM events.endpoint")
    assert new.secret.encode() not in sealed
    context = f"webhook_endpoint:{ids.encode('whe', new.endpoint.endpoint_id)}"
    assert world.vault.open(sealed, context=context).decode() == new.secret
    other = await world.endpoint()
    assert other.secret != new.secret


async def test_endpoints_are_listed_for_their_merchant_only(world: World) -> None:
    mine = [(await world.endpoint(f"/{i}", types=("refund.failed", "payment.succeeded"))).endpoint for i in range(3)]
    await world.endpoint(merchant=world.ids.new())
    async with world.database.transaction() as tx:
        listed = await events.list_endpoints(tx, world.merchant)
    assert listed == sorted(mine, key=lambda endpoint: endpoint.endpoint_id)
    assert listed[0].types == ("payment.succeeded", "refund.failed")


async def test_disabling_twice_keeps_the_first_instant(world: World) -> None:
    new = await world.endpoint()
    first = await world.disable(new.endpoint.endpoint_id)
    world.clock.advance(events.webhooks.worker.LEASE)
    assert first.disabled_at is not None
    assert await world.disable(new.endpoint.endpoint_id) == first


async def test_another_merchants_endpoint_is_absent(world: World) -> None:
    foreign = await world.endpoint(merchant=world.ids.new())
    with pytest.raises(NotFound):
        await world.disable(foreign.endpoint.endpoint_id)


async def test_a_merchant_has_so_many_enabled_endpoints_and_no_more(world: World) -> None:
    made = [await world.endpoint(f"/{i}") for i in range(ENDPOINTS_MAX)]
    with pytest.raises(Conflict):
        await world.endpoint("/one-more")
    await world.disable(made[0].endpoint.endpoint_id)
    await world.endpoint("/instead")


@pytest.mark.parametrize(
    "name", ["", "payment", "Payment.succeeded", "payment.*", "payment.", "a." + "b" * 100, "a.b\n"]
)
async def test_a_type_that_is_not_a_name_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await world.endpoint(types=(name,))
    assert caught.value.param == "types"
