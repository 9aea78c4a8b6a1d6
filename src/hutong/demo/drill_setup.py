"""The setup of a routing drill: a platform of its own, and three accounts at three simulated channels."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from hutong import app, channels, db, ids, operators, sandbox
from hutong.clock import SystemClock
from hutong.demo.merchant import Client, register_merchant

CHANNEL, METHOD = "wechat", "wechat_native"
PRICES = {"one": 3_800, "two": 4_500, "three": 6_000}
"""The prices of the accounts, in parts per million: traffic prefers the first."""
FEE_PPM = 6_000
_PAYERS_PAY_AFTER_MS = 50
_PATIENCE_S = 30.0

CONFIGURATION: Mapping[str, Any] = {
    # A drill takes a minute; with the default times it would take several.
    "health": {"cooldown_s": 2, "cooldown_max_s": 4, "probe_pause_s": 1},
    "accounts": {f"{CHANNEL}/{name}": {"price": {"tiers": [{"ppm": ppm}]}} for name, ppm in PRICES.items()},
    "policies": {"": {"objective": "expected_value", "default": f"{CHANNEL}/three"}},
}


@dataclass(frozen=True, slots=True)
class DrillSetup:
    """The accounts, addresses and keys of a drill.

    Attributes:
        accounts: The names of the accounts, by id.
        simulators: The address of each account's channel, by the account's name.
        key: The merchant's API key.
        operator: An operator's key.
    """

    accounts: Mapping[UUID, str]
    simulators: Mapping[str, str]
    key: str
    operator: str


@asynccontextmanager
async def simulators(folder: Path) -> AsyncIterator[dict[str, tuple[str, dict[str, object]]]]:
    """Run a simulated channel for each account; yield its address and the account's credentials, by account name."""
    async with AsyncExitStack() as stack:
        simulated = {}
        for name in PRICES:
            channel_folder = folder / "channels" / name
            url = await stack.enter_async_context(sandbox.serve(sandbox.SandboxSettings(channel_folder, speed=10)))
            simulated[f"{CHANNEL}/{name}"] = url, sandbox.accounts(channel_folder, url)[CHANNEL]
        yield simulated


async def set_up(
    database: db.Database,
    settings: app.Settings,
    client: Client,
    simulated: Mapping[str, tuple[str, Mapping[str, object]]],
    configuration: Mapping[str, Any],
) -> DrillSetup:
    """Enable the accounts and no others, create a merchant, and publish the configuration as two people would."""
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
            enabled = entry.account_id in accounts
            if entry.enabled is not enabled:
                await channels.accounts.set_enabled(tx, account_id=entry.account_id, enabled=enabled, now=now)
        maker, checker = [
            await operators.add_operator(
                tx, operator_id=new.new(), name=f"drill {role} {secrets.token_hex(4)}", role=role,
                random=secrets.token_urlsafe(32), reason="a drill", now=now,
            )
            for role in (operators.Role.OPERATOR, operators.Role.APPROVER)
        ]  # fmt: skip
    key = await register_merchant(database, "Example Store", FEE_PPM, zone=settings.zone)
    setup = DrillSetup(accounts, {name: url for name, (url, _) in simulated.items()}, key.secret, maker)
    await _await_accounts(client, setup)
    await _publish(client, setup, checker, configuration)
    for url in setup.simulators.values():
        await client.call("POST", f"{url}/control/{CHANNEL}/faults", json={"auto_pay_ms": _PAYERS_PAY_AFTER_MS})
    return setup


async def _await_accounts(client: Client, setup: DrillSetup) -> None:
    """Wait until the platform routes among these accounts and no others."""
    names = sorted(setup.accounts.values())
    await _await_routing(client, setup, lambda document: _names(document) == names, "use the accounts")


async def _publish(client: Client, setup: DrillSetup, checker: str, configuration: Mapping[str, Any]) -> None:
    proposal = await client.call(
        "POST", f"{client.address}/v1/operator/routing/configurations", key=setup.operator,
        json={"document": configuration, "reason": "a drill"},
    )  # fmt: skip
    approve = f"{client.address}/v1/operator/proposals/{proposal['id']}/approve"
    await client.call("POST", approve, key=checker, json={"reason": "a drill"})
    version = proposal["payload"]["version"]
    await _await_routing(
        client, setup, lambda document: document["configuration"] == version, "apply the configuration"
    )


async def _await_routing(
    client: Client, setup: DrillSetup, condition: Callable[[dict[str, Any]], bool], what: str
) -> None:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while not condition(await see_routing(client, setup)):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"the platform did not {what} in time")
        await asyncio.sleep(0.1)


async def see_routing(client: Client, setup: DrillSetup) -> dict[str, Any]:
    """Return the state of routing, as an operator sees it."""
    return await client.call("GET", f"{client.address}/v1/operator/routing", key=setup.operator)


def _names(document: Mapping[str, Any]) -> Sequence[str]:
    return sorted(account["name"] for account in document["accounts"])
