"""A database with channel accounts, operators and payments that were routed, for the commands about routing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg

from command_line import Run
from hutong import app, channels, config, payments, routing
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.sandbox import WeChatSandboxKeys


def keys(command: Run, folder: Path, *roles: str) -> dict[str, str]:
    """The key files of an operator and an approver, or of others."""
    files = {}
    for role in roles or ("operator", "approver"):
        file = folder / f"{role}.key"
        added = command("operator", "add", role, "--role", role, "--json")
        file.write_text(json.loads(added.stdout)["key"])
        file.chmod(0o600)
        files[role] = str(file)
    return files


METHOD = "wechat_native"


class RoutedPayments:
    """Payments that one process has routed among two accounts at WeChat Pay.

    Args:
        url: A migrated database.
        folder: For the accounts' credentials.
        names: Of the accounts.
    """

    def __init__(self, command: Run, url: str, folder: Path, *, names: Sequence[str] = ("a", "b")) -> None:
        self.url = url
        self.clock = SystemClock()
        self.ids = Ids(self.clock)
        self.live = routing.RoutingState(draw=lambda: 0.5)
        self.attempts: list[UUID] = []
        file = folder / "wechat.json"
        file.write_text(
            json.dumps(WeChatSandboxKeys.load(folder / "keys").credentials("https://api.mch.weixin.qq.com"))
        )
        file.chmod(0o600)
        for name in names:
            added = command("channels", "add", "wechat", name, "--credentials", str(file))
            assert added.returncode == 0, added.stderr

    async def _offers(self) -> list[channels.Offer]:
        async with Database.open(self.url, size=2) as database, channels.Http.open() as http:
            return await channels.Accounts(database, app.open_vault(config.load()), http, self.clock).offers()

    def place(self, amounts: list[int], paid: int) -> None:
        """Route payments and write them down; the first so many are paid, the others fail."""
        asyncio.run(self._place(amounts))
        with psycopg.connect(self.url) as connection:
            for number, attempt_id in enumerate(self.attempts):
                state = "succeeded" if number < paid else "failed"
                connection.execute(
                    "UPDATE payments.attempt SET state = %s, finished_at = now(), next_query_at = NULL WHERE id = %s",
                    (state, attempt_id),
                )

    async def _place(self, amounts: list[int]) -> None:
        async with Database.open(self.url, size=2) as database:
            process_id = self.ids.new()
            sharing = routing.StateSync(
                database, self.live, clock=self.clock, process_id=process_id, offers=self._offers
            )
            await sharing.look(self.clock.now())
            transactions = payments.PaymentTransactions(
                database, clock=self.clock, ids=self.ids, checkout_url=lambda _: ""
            )
            merchant_id, now = self.ids.new(), self.clock.now()
            for amount_minor in amounts:
                chosen = self.live.decide(routing.RoutingRequest(METHOD, amount_minor, "CNY", now, fee_ppm=6_000))
                account_id = chosen.decision.chosen
                if account_id is None:
                    continue
                attempt = payments.NewAttempt(self.ids.new(), account_id, "wechat", METHOD, decision=chosen.record)
                self.attempts.append(attempt.attempt_id)
                new = payments.NewPayment(
                    self.ids.new(), merchant_id, f"o-{len(self.attempts)}", amount_minor, "CNY", "x",
                    now + timedelta(hours=1), "t", first_attempt=attempt,
                )  # fmt: skip
                await transactions.place([payments.PlaceOrder(new)])
            await sharing.look(self.clock.now())

    def fail(self, account: str, count: int) -> None:
        """Let an account fail so often, other processes know of it, and suggest what follows from it."""
        asyncio.run(self._fail(account, count))

    async def _fail(self, account: str, count: int) -> None:
        async with Database.open(self.url, size=2) as database:
            process_id = self.ids.new()
            sharing = routing.StateSync(
                database, self.live, clock=self.clock, process_id=process_id, offers=self._offers
            )
            await sharing.look(self.clock.now())
            (account_id,) = (one.account_id for one in self.live.candidates if one.name == account)
            for _ in range(count):
                result = routing.Result(self.clock.now(), self.ids.new(), fault=True, interface=METHOD)
                self.live.router.learn(account_id, result)
            await sharing.look(self.clock.now())
            await database.run(lambda tx: routing.suggest(tx, self.live, now=self.clock.now(), new_id=self.ids.new))
