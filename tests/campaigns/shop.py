"""A merchant and its payers, who go on with their business whatever dies: the load of a campaign, from a seed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import orjson

from campaigns.promises import Call, Log, Promise
from hutong.demo.merchant import Client, Refused
from hutong.demo.payers import ChannelMethod, alphanumeric, find_methods, open_page

CARD = ChannelMethod("stripe", "card", "USD")
MISSTATED = 0.1
_ANSWER_LIMIT_S = 15.0
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_GREEDY = 0.1
"""The share of paid orders on which more refunds than the amount are requested at once."""
_UNFINISHED_S = 10
_LOOK_BACK = 2_000
_PAGE_TRIES = 5
_CHOICE_S = 1.5
"""How long a payer thinks about how to pay."""
_REPEATABLE = (429, 502, 503)
_FINAL = ("succeeded", "closed")
_NEVER_CHANGES = ("id", "merchant_order_no", "merchant_refund_no", "payment_id", "amount_minor", "currency")


class Shop:
    """A merchant's system: it repeats what was not answered with the same key, and writes down what was promised.

    Args:
        rate: How many lives of payments begin each second, by the clock and not by the answers, as long as no more
            than those of ten seconds are unfinished.
        patience_s: How long it waits for an answer, and for a payment to come to an end.
        misstated: The share of paid orders about which the channel first reports another amount.
    """

    def __init__(
        self,
        client: Client,
        key: str,
        log: Log,
        *,
        seed: int,
        rate: float,
        patience_s: float,
        misstated: float = MISSTATED,
    ) -> None:
        self._client = client
        self._key = key
        self._seed = seed
        self._rate = rate
        self._patience_s = patience_s
        self._misstated = misstated
        self._methods: list[ChannelMethod] = []
        self._stopping = asyncio.Event()
        self._numbers = itertools.count()
        self.log = log
        self.lives: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Do business for the length of a block; at its end, each life that has begun goes on to its own end."""
        if not self._methods:
            self._methods = [method for method in await find_methods(self._client) if method.channel != "stripe"]
            self._methods.append(CARD)
        self._stopping.clear()
        begins = asyncio.create_task(self._begin_lives())
        try:
            yield
        except BaseException:
            for task in (begins, *self.lives):
                task.cancel()
            raise
        finally:
            self._stopping.set()
            await asyncio.gather(begins, return_exceptions=True)
        results = await asyncio.gather(*self.lives, return_exceptions=True)
        for error in (result for result in results if isinstance(result, BaseException)):
            self.log.problems[f"a life broke off: {error!r}"] += 1

    async def _begin_lives(self) -> None:
        began = asyncio.get_running_loop().time()
        for turn in itertools.count():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(began + turn / self._rate):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return
            if sum(not life.done() for life in self.lives[-_LOOK_BACK:]) < self._rate * _UNFINISHED_S:
                self.lives.append(asyncio.create_task(self._live(next(self._numbers))))

    # One payment's life

    async def _live(self, number: int) -> None:
        rng = random.Random(f"{self._seed}/{number}")
        method = self._methods[number % len(self._methods)]
        order = {
            "merchant_order_no": f"c{self._seed}-{number}",
            "amount_minor": rng.randrange(1_000, 100_000),
            "currency": method.currency,
            "subject": "Jasmine tea 茶",
            "method": method.method,
        }
        if method is CARD:
            payment = await self._pay_by_card(order, rng)
        else:
            payment = await self._pay_at_channel(order, method, rng)
        if payment["status"] == "succeeded":
            await self._refund(payment, rng)

    async def _pay_by_card(self, order: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        manual = rng.random() < 0.5
        order |= {"payer": {"token": "pm_card_visa"}, "capture_method": "manual" if manual else "automatic"}
        payment = await self._place(order, rng)
        if not manual:
            return await self._until(payment["id"], *_FINAL)
        payment = await self._until(payment["id"], "requires_capture", *_FINAL)
        if payment["status"] == "requires_capture":
            part = rng.randrange(500, order["amount_minor"])
            await self._promised("capture", payment["id"], f"/v1/payments/{payment['id']}/capture", amount_minor=part)
        return await self._until(payment["id"], *_FINAL)

    async def _pay_at_channel(self, order: dict[str, Any], method: ChannelMethod, rng: random.Random) -> dict[str, Any]:
        at_the_cashier = rng.random() < 0.25
        payment = await self._place({k: v for k, v in order.items() if k != "method" or not at_the_cashier}, rng)
        if at_the_cashier:
            await asyncio.sleep(_CHOICE_S)
            path = f"/v1/payments/{payment['id']}/attempts"
            await self._promised("attempt", payment["id"], path, method=method.method)
        attempt = await self._until_payable(payment["id"])
        late = method.channel == "wechat" and rng.random() < 0.15
        if attempt is not None and not late and not await self._pay(attempt, method, rng):
            # Nobody could pay what the channel offers, as after an answer about another order: the merchant gives up.
            await self._promised("close", payment["id"], f"/v1/payments/{payment['id']}/close")
        if late:  # the order is closed, and the channel takes money nevertheless
            await self._promised("close", payment["id"], f"/v1/payments/{payment['id']}/close")
            await self._until(payment["id"], *_FINAL)
            if attempt is not None:
                await self._pay(attempt, method, rng, force=True)
        return await self._until(payment["id"], *_FINAL)

    async def _pay(
        self, attempt: dict[str, Any], method: ChannelMethod, rng: random.Random, *, force: bool = False
    ) -> bool:
        """Pay as the payer does; return whether the channel took the money.

        Notifications come up to three times, late or, now and then, not at first, or with another amount.
        """
        notify = {"copies": rng.randint(1, 3), "delay_ms": rng.choice((0, 0, 200)), "lose": int(rng.random() < 0.1)}
        if rng.random() < self._misstated and not force:  # what comes late and with another amount waits for a person
            notify = {"amount_delta_minor": -1}
            self.log.misstated.add(attempt["id"])
        for turn in range(_PAGE_TRIES):  # who is shown an error by the channel's page loads it again
            await asyncio.sleep(turn * 0.5)
            await open_page(self._client, attempt["action"])
            paid = False
            for number in sorted({attempt["id"], alphanumeric(attempt["id"])}):
                try:
                    await self._client.control(method.channel, "pay", order_no=number, force=force, notify=notify)
                except Refused as refused:  # 404: the channel has the other form of the number; 409: it is paid already
                    paid = paid or refused.status == 409
                else:
                    paid = True
            if paid:
                return True
        return False

    async def _refund(self, payment: dict[str, Any], rng: random.Random) -> None:
        captured, chance = payment["amount_captured_minor"], rng.random()
        if chance < _GREEDY:  # three at once, of which the amount allows one
            amounts = [captured * 6 // 10] * 3
        elif chance < 0.4:
            amounts = [rng.randrange(1, captured // 2 + 1) for _ in range(rng.randint(1, 2))]
        else:
            return
        path = f"/v1/payments/{payment['id']}/refunds"
        numbers = [f"{payment['merchant_order_no']}-{index}" for index in range(len(amounts))]
        await asyncio.gather(
            *(
                self._promised("refund", number, path, rng, merchant_refund_no=number, amount_minor=amount)
                for number, amount in zip(numbers, amounts, strict=True)
            )
        )

    # Requests

    async def _place(self, order: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        found = await self._promised("payment", order["merchant_order_no"], "/v1/payments", rng, **order)
        assert found is not None, f"an order was refused: {order}"
        return found

    async def _until(self, payment_id: str, *statuses: str) -> dict[str, Any]:
        pause_s = 0.2
        async with asyncio.timeout(self._patience_s):
            while (found := await self.find(payment_id))["status"] not in statuses:
                await self._give_up(found)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 2.0)
        return found

    async def _until_payable(self, payment_id: str) -> dict[str, Any] | None:
        async with asyncio.timeout(self._patience_s):
            while (found := await self.find(payment_id))["status"] not in _FINAL:
                if found["attempts"] and (attempt := found["attempts"][-1])["action"] is not None:
                    return dict(attempt)
                await self._give_up(found)
                await asyncio.sleep(0.2)
        return None

    async def _give_up(self, payment: dict[str, Any]) -> None:
        """Close a payment whose attempt the channel has refused."""
        ended = [attempt["state"] in ("failed", "closed") for attempt in payment["attempts"]]
        if ended and all(ended) and not payment["closing"]:
            await self._promised("close", payment["id"], f"/v1/payments/{payment['id']}/close")

    async def find(self, payment_id: str) -> dict[str, Any]:
        """Return a payment as the API shows it."""
        status, body = await self._send("GET", f"/v1/payments/{payment_id}")
        assert status == 200, body
        return dict(orjson.loads(body))

    async def verify(self, reported: dict[str, Any]) -> None:
        """Compare what a webhook has just told about a payment's end with what the API answers now."""
        if (await self.find(reported["id"]))["status"] != reported["status"]:
            self.log.problems["a webhook told an end that was not committed"] += 1

    async def _promised(
        self, what: str, key: str, path: str, rng: random.Random | None = None, **body: Any
    ) -> dict[str, Any] | None:
        """Request until there is an answer; write a promise down; now and then request the same again.

        Returns:
            The document; None if the request was refused.
        """
        headers = {}
        if rng is not None and rng.random() < 0.3:
            headers = {"Idempotency-Key": key}
        status, text = await self._send("POST", path, body, headers)
        document = dict(orjson.loads(text))
        if status >= 400:
            self._refused(what, key, status, document)
        else:
            self.log.promise(Promise(what, key, document))
        if rng is not None and rng.random() < 0.2:
            again, repeated = await self._send("POST", path, body, headers)
            self._compare(key, (status, text), (again, repeated), keyed=bool(headers))
        return None if status >= 400 else document

    def _refused(self, what: str, key: str, status: int, document: dict[str, Any]) -> None:
        self.log.refusals[key] = str(document.get("code"))
        if status != 409:
            self.log.problems[f"a {what} was answered with {status} {document.get('code')}"] += 1

    def _compare(self, key: str, first: tuple[int, bytes], again: tuple[int, bytes], *, keyed: bool) -> None:
        """Compare an answer with that to its repetition: with a key, all of it is the same but the request's id."""
        one, other = dict(orjson.loads(first[1])), dict(orjson.loads(again[1]))
        one.pop("request_id", None)
        other.pop("request_id", None)
        if first[0] >= 400 and again[0] < 400:
            self.log.promise(Promise("refund", key, other))  # a refund that failed has left room for this one
        elif keyed and (first[0], one) != (again[0], other):
            self.log.problems[f"the same idempotency key had two answers: {first} {again}"] += 1
        elif any(one.get(name) != other.get(name) for name in _NEVER_CHANGES):
            self.log.problems["a repeated request had another effect"] += 1

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request until it is answered, as a merchant does who knows that repeating is safe."""
        loop = asyncio.get_running_loop()
        call = Call(f"{method} {path.rsplit('/', 1)[-1] if method == 'POST' else 'payment'}", loop.time())
        self.log.calls.append(call)
        while True:
            status, text = await self._attempt(method, path, body, headers)
            call.statuses.append(status)
            held = status == 409 and b"idempotency_key_in_flight" in text
            call.held_by_key |= held
            if status > 0 and status not in _REPEATABLE and not held:
                call.answered_at = loop.time()
                if status >= 500:
                    self.log.problems[f"an answer was {status}: {text[:200]!r}"] += 1
                    raise RuntimeError(f"{method} {path} was answered with {status}")
                return status, text
            call.failed_at = call.failed_at or loop.time()
            if loop.time() > call.sent_at + self._patience_s:
                raise TimeoutError(f"{method} {path} was not answered: {call.statuses[-5:]}")
            await asyncio.sleep(_PAUSES_S[min(len(call.statuses), len(_PAUSES_S)) - 1])

    async def _attempt(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str] | None
    ) -> tuple[int, bytes]:
        sent = {"Authorization": f"Bearer {self._key}"} | (headers or {})
        limit = aiohttp.ClientTimeout(total=_ANSWER_LIMIT_S)
        url = f"{self._client.address}{path}"
        try:
            async with self._client.session.request(
                method, url, json=body or None, headers=sent, timeout=limit
            ) as response:
                return response.status, await response.read()
        except TimeoutError:
            return -1, b""
        except aiohttp.ClientError:
            return 0, b""
