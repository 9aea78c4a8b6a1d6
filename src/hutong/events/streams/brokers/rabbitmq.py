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
from hutong.events.streams.relay import AnswerRequest
from hutong.events.streams.streams import confirm_each

_CLOSE_LIMIT_S = 1.0
_REDELIVERIES_MAX = 20
_PERSISTENT = 2
_CLOSING: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly


@asynccontextmanager
async def connect(
    url: str, answer: AnswerRequest | None, *, source: str, confirm_limit_s: float
) -> AsyncIterator[RabbitPublisher]:
    """Connect, and declare the exchange, a queue of everything, and the queue of requests.

    The queue of everything keeps what no other queue takes; listeners bind queues of their own to the exchange.

    Errors:
        Unavailable: the broker does not answer, or refuses the login.
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
        # A message that no queue takes is returned, and a returned message is not confirmed.
        default_channel=Channel(publisher_confirms=True, on_return_raises=True),
        timeout=confirm_limit_s,
        # The relay reconnects, since it knows what was not confirmed.
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
    """Close the connection; one that has failed is closed without a handshake that nobody would answer.

    A close that takes longer than a moment continues in the background: the broker may be reached again meanwhile.
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


def _listen(broker: RabbitBroker, requests: RabbitQueue, answer: AnswerRequest) -> None:
    """Take requests one at a time; one that fails goes back to the queue."""

    async def raw(message: Any) -> bytes:
        return bytes(message.body)

    async def handle(body: bytes) -> None:
        await answer(body)

    channel = Channel(prefetch_count=1)
    broker.subscriber(requests, channel=channel, ack_policy=AckPolicy.NACK_ON_ERROR, decoder=raw, no_reply=True)(handle)


class RabbitPublisher:
    """Publishes persistent messages that a queue must take, and waits for the confirmation of each.

    A batch is written to the channel as a whole. FastStream's own `publish` waits for the socket after each message,
    which halves the rate.
    """

    def __init__(self, channel: WireChannel, exchange: str, confirm_limit_s: float) -> None:
        self._channel = channel
        self._exchange = exchange
        self._confirm_limit_s = confirm_limit_s

    async def publish(self, items: Sequence[StreamItem]) -> list[bool]:
        """Publish items, and return for each whether the broker confirmed it in time."""
        return await confirm_each((self._publish_one(item) for item in items), self._confirm_limit_s)

    async def _publish_one(self, item: StreamItem) -> None:
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
