"""What a routing drill takes place in: a platform of its own, and three accounts at three simulated channels."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from hutong import app, channels, db, ids, merchants, operators, sandbox
from hutong.clock import SystemClock
from hutong.demo.merchant import Client

CHANNEL, METHOD = "wechat", "wechat_native"
PRICES = {"one": 3_800, "two": 4_500, "three": 6_000}
"""What the accounts take of each payment, in parts per million: the first is the one that traffic prefers."""
FEE_PPM = 6_000
_PAYERS_PAY_AFTER_MS = 50
_PATIENCE_S = 30.0

CONFIGURATION: Mapping[str, Any] = {
    # A drill is over in a minute; the times that hold without this are minutes.
    "health": {"cooldown_s": 2, "cooldown_max_s": 4, "probe_pause_s": 1},
    "accounts": {f"{CHANNEL}/{name}": {"price": {"tiers": [{"ppm": ppm}]}} for name, ppm in PRICES.items()},
    "policies": {"": {"objective": "expected_value", "default": f"{CHANNEL}/three"}},
}


@dataclass(frozen=True, slots=True)
class World:
    """Everything that the drill's people hold in their hands.

    Attributes:
        accounts: The accounts' names by their number.
        simulators: The address of each account's channel, by the account's name.
        key: The merchant's.
        operator: An operator's.
    """

    accounts: Mapping[UUID, str]
    simulators: Mapping[str, str]
    key: str
    operator: str


@asynccontextmanager
async def simulators(folder: Path) -> AsyncIterator[dict[str, tuple[str, dict[str, object]]]]:
    """A simulated channel for each account; its address and the credentials of the account, by the account's name."""
    async with AsyncExitStack() as stack:
        found = {}
        for name in PRICES:
            own = folder / "channels" / name
            url = await stack.enter_async_context(sandbox.serve(sandbox.SandboxSettings(own, speed=10)))
            found[f"{CHANNEL}/{name}"] = url, sandbox.accounts(own, url)[CHANNEL]
        yield found


async def set_up(
    database: db.Database,
    settings: app.Settings,
    client: Client,
    simulated: Mapping[str, tuple[str, Mapping[str, object]]],
    configuration: Mapping[str, Any],
) -> World:
    """Open the accounts and no others, register a merchant, and publish the configuration as two people would."""
    clock = SystemClock()
    new = ids.Ids(clock, zone=settings.zone)
    vault, now = app.open_vault(settings), clock.now()
    async with database.transaction() as tx:
        accounts = {
            await channels.accounts.ensure_account(
                tx, vault, account_id=new.new(), channel=CHANNEL, name=name.partition("/")[2], sandbox=True,
                credentials=credentials, now=now,
            ): name
            for name, (_, credentials) in simulated.items()
        }  # fmt: skip
        for entry in await channels.accounts.list_accounts(tx):
            wanted = entry.account_id in accounts
            if entry.enabled is not wanted:
                await channels.accounts.set_enabled(tx, account_id=entry.account_id, enabled=wanted, now=now)
        merchant = merchants.NewMerchant(new.new(), "Example Store", FEE_PPM)
        await merchants.create_merchant(tx, merchant, now=now)
        key = await merchants.create_api_key(
            tx, merchant.merchant_id, key_id=new.new(), random=secrets.token_urlsafe(32), now=now
        )
        maker, checker = [
            await operators.add_operator(
                tx, operator_id=new.new(), name=f"drill {role} {secrets.token_hex(4)}", role=role,
                random=secrets.token_urlsafe(32), reason="a drill", now=now,
            )
            for role in (operators.Role.OPERATOR, operators.Role.APPROVER)
        ]  # fmt: skip
    world = World(accounts, {name: url for name, (url, _) in simulated.items()}, key.secret, maker)
    await _until_offered(client, world)
    await _publish(client, world, checker, configuration)
    for url in world.simulators.values():
        await client.call("POST", f"{url}/control/{CHANNEL}/faults", json={"auto_pay_ms": _PAYERS_PAY_AFTER_MS})
    return world


async def _until_offered(client: Client, world: World) -> None:
    """Until the platform routes among these accounts and no others."""
    await _see(client, world, lambda seen: _names(seen) == sorted(world.accounts.values()), "open the accounts")


async def _publish(client: Client, world: World, checker: str, configuration: Mapping[str, Any]) -> None:
    proposed = await client.call(
        "POST", f"{client.address}/v1/operator/routing/configurations", key=world.operator,
        json={"document": configuration, "reason": "a drill"},
    )  # fmt: skip
    approve = f"{client.address}/v1/operator/proposals/{proposed['id']}/approve"
    await client.call("POST", approve, key=checker, json={"reason": "a drill"})
    version = proposed["payload"]["version"]
    await _see(client, world, lambda seen: seen["configuration"] == version, "take the configuration")


async def _see(client: Client, world: World, wanted: Any, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while not wanted(await look(client, world)):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"the platform does not {what}")
        await asyncio.sleep(0.1)


async def look(client: Client, world: World) -> dict[str, Any]:
    """How routing is doing, as an operator sees it."""
    return await client.call("GET", f"{client.address}/v1/operator/routing", key=world.operator)


def _names(seen: Mapping[str, Any]) -> Sequence[str]:
    return sorted(account["name"] for account in seen["accounts"])
