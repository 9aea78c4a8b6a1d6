"""RabbitMQ: a topic exchange for all streams, and quorum queues, which keep what they confirm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue

from hutong.errors import Unavailable
from hutong.events.message import Item
from hutong.events.relay import Request
from hutong.events.stream import confirmed

_CLOSE_LIMIT_S = 5.0
_REDELIVERIES_MAX = 20


@asynccontextmanager
async def connect(url: str, answer: Request, *, source: str, confirm_limit_s: float) -> AsyncIterator[RabbitPublisher]:
    """Connect, and have the exchange, a queue that takes everything, and the queue of requests.

    The queue makes sure that nothing is told to nobody; others bind queues of their own to the exchange.

    Errors:
        Unavailable: the broker does not answer, or does not let us in.
    """
    exchange = RabbitExchange(f"{source}.events", type=ExchangeType.TOPIC, durable=True)
    queue = RabbitQueue(f"{source}.events", queue_type=QueueType.QUORUM, durable=True)
    requests = RabbitQueue(
        f"{source}.events.requests",
        queue_type=QueueType.QUORUM,
        durable=True,
        arguments={"x-delivery-limit": _REDELIVERIES_MAX},
    )
    broker = RabbitBroker(
        url,
        # A message that no queue takes comes back, and coming back is not being confirmed.
        default_channel=Channel(publisher_confirms=True, on_return_raises=True),
        timeout=confirm_limit_s,
        # It is connected anew by the relay, which knows what was not confirmed.
        reconnect_interval=3600,
        graceful_timeout=_CLOSE_LIMIT_S,
        logger=None,
    )

    async def raw(message: Any) -> bytes:
        return bytes(message.body)

    @broker.subscriber(
        requests, channel=Channel(prefetch_count=1), ack_policy=AckPolicy.NACK_ON_ERROR, decoder=raw, no_reply=True
    )
    async def handle(body: bytes) -> None:
        await answer(body)

    try:
        try:
            async with asyncio.timeout(confirm_limit_s):
                await broker.start()
                declared = await broker.declare_exchange(exchange)
                taking = await broker.declare_queue(queue)
                await taking.bind(declared, routing_key="#")
        except Exception as error:
            raise Unavailable(f"the broker does not answer: {type(error).__name__}") from error
        yield RabbitPublisher(broker, exchange, confirm_limit_s)
    finally:
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await broker.stop()


class RabbitPublisher:
    """Publishes persistent messages that must be taken by a queue, and waits for the confirmation of each."""

    def __init__(self, broker: RabbitBroker, exchange: RabbitExchange, confirm_limit_s: float) -> None:
        self._broker = broker
        self._exchange = exchange
        self._confirm_limit_s = confirm_limit_s

    async def publish(self, items: Sequence[Item]) -> list[bool]:
        """Of each, whether the broker confirmed it in time."""
        return await confirmed((self._one(item) for item in items), self._confirm_limit_s)

    async def _one(self, item: Item) -> None:
        headers: dict[str, Any] = {"stream": item.stream, "type": item.type}
        if item.no is not None:
            headers["no"] = item.no
        if item.resent:
            headers["resent"] = True
        await self._broker.publish(
            item.body,
            exchange=self._exchange,
            routing_key=item.type,
            mandatory=True,
            persist=True,
            message_id=item.message_id,
            message_type=item.type,
            content_type="application/json",
            headers=headers,
            correlation_id=item.message_id,
            expiration=item.expires_s,
        )
