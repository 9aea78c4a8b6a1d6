"""RabbitMQ: a topic exchange for all streams, and quorum queues, which keep what they confirm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiormq import Channel as WireChannel
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from pamqp.commands import Basic

from hutong.errors import Unavailable
from hutong.events.streams.messages import StreamItem
from hutong.events.streams.relay import Request
from hutong.events.streams.streams import confirmed

_CLOSE_LIMIT_S = 1.0
_REDELIVERIES_MAX = 20
_PERSISTENT = 2
_CLOSING: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly


@asynccontextmanager
async def connect(
    url: str, answer: Request | None, *, source: str, confirm_limit_s: float
) -> AsyncIterator[RabbitPublisher]:
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

    if answer is not None:
        _listen(broker, requests, answer)
    closing = False
    try:
        try:
            async with asyncio.timeout(confirm_limit_s):
                await broker.start()
                declared = await broker.declare_exchange(exchange)
                taking = await broker.declare_queue(queue)
                await taking.bind(declared, routing_key="#")
                channel = await declared.channel.get_underlay_channel()
                assert isinstance(channel, WireChannel)
        except Exception as error:
            raise Unavailable(f"the broker does not answer: {type(error).__name__}") from error
        yield RabbitPublisher(channel, exchange.name, confirm_limit_s)
        closing = True
    finally:
        await _close(broker, in_order=closing)


async def _close(broker: RabbitBroker, *, in_order: bool) -> None:
    """Close the connection; one that failed without the words that nobody would answer.

    What takes longer than a moment goes on beside us: the broker may be reached again meanwhile.
    """

    async def close() -> None:
        connection = broker._connection
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                if in_order:
                    await broker.stop()
        with suppress(Exception):
            if connection is not None:
                await connection.close()

    task = asyncio.create_task(close())
    _CLOSING.add(task)
    task.add_done_callback(_CLOSING.discard)
    await asyncio.wait([task], timeout=_CLOSE_LIMIT_S)


def _listen(broker: RabbitBroker, requests: RabbitQueue, answer: Request) -> None:
    """Take requests one at a time; one that fails goes back."""

    async def raw(message: Any) -> bytes:
        return bytes(message.body)

    async def handle(body: bytes) -> None:
        await answer(body)

    channel = Channel(prefetch_count=1)
    broker.subscriber(requests, channel=channel, ack_policy=AckPolicy.NACK_ON_ERROR, decoder=raw, no_reply=True)(handle)


class RabbitPublisher:
    """Publishes persistent messages that must be taken by a queue, and waits for the confirmation of each.

    A batch is written to the channel as a whole. FastStream's own `publish` waits for the socket after each message,
    which costs half of the speed.
    """

    def __init__(self, channel: WireChannel, exchange: str, confirm_limit_s: float) -> None:
        self._channel = channel
        self._exchange = exchange
        self._confirm_limit_s = confirm_limit_s

    async def publish(self, items: Sequence[StreamItem]) -> list[bool]:
        """Of each, whether the broker confirmed it in time."""
        return await confirmed((self._one(item) for item in items), self._confirm_limit_s)

    async def _one(self, item: StreamItem) -> None:
        headers: dict[str, Any] = {"stream": item.stream, "type": item.type}
        if item.no is not None:
            headers["no"] = item.no
        if item.resent:
            headers["resent"] = True
        await self._channel.basic_publish(
            item.body,
            exchange=self._exchange,
            routing_key=item.type,
            mandatory=True,
            properties=Basic.Properties(
                message_id=item.message_id,
                message_type=item.type,
                content_type="application/json",
                headers=headers,
                delivery_mode=_PERSISTENT,
                expiration=None if item.expires_s is None else str(1000 * item.expires_s),
            ),
            wait=False,
        )
