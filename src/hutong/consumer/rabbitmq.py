"""RabbitMQ: a quorum queue per consumer, acknowledged after the commit, and a queue for requests to the source."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import orjson
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.annotations import RabbitMessage

from hutong.consumer.consumer import Consumer
from hutong.consumer.message import DIGEST
from hutong.consumer.transport import take_batch
from hutong.errors import Unavailable

_CLOSE_LIMIT_S = 5.0
_START_LIMIT_S = 30.0
_REQUEST_LIMIT_S = 10.0


async def run(consumer: Consumer, url: str, *, queue: str, source: str, batch: int) -> None:
    """Run a consumer on a queue of RabbitMQ; see `transport.rabbit`."""
    arrived: asyncio.Queue[RabbitMessage] = asyncio.Queue()
    exchange = RabbitExchange(f"{source}.events", type=ExchangeType.TOPIC, durable=True)
    keys = ["#"] if consumer.topics is None else [DIGEST, *(f"{topic}.#" for topic in sorted(consumer.topics))]
    inbox = RabbitQueue(queue, queue_type=QueueType.QUORUM, durable=True, routing_key=keys[0])
    broker = RabbitBroker(
        url,
        default_channel=Channel(publisher_confirms=True, on_return_raises=True),
        graceful_timeout=_CLOSE_LIMIT_S,
        logger=None,
    )

    async def raw(message: Any) -> bytes:
        return bytes(message.body)

    @broker.subscriber(
        inbox,
        exchange,
        channel=Channel(prefetch_count=2 * batch),
        ack_policy=AckPolicy.MANUAL,
        decoder=raw,
        no_reply=True,
    )
    async def handle(message: RabbitMessage) -> None:
        arrived.put_nowait(message)

    try:
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await broker.start()
                declared = await broker.declare_exchange(exchange)
                bound = await broker.declare_queue(inbox)
                for key in keys[1:]:
                    await bound.bind(declared, routing_key=key)
        except Exception as error:
            raise Unavailable(f"the broker does not answer: {type(error).__name__}") from error
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.attend(RabbitSource(broker, source)))
            group.create_task(_take(consumer, arrived, batch))
    finally:
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await broker.stop()


async def _take(consumer: Consumer, arrived: asyncio.Queue[RabbitMessage], batch: int) -> None:
    while True:
        messages = [await arrived.get()]
        while len(messages) < batch and not arrived.empty():
            messages.append(arrived.get_nowait())
        await take_batch(consumer, [bytes(message.body) for message in messages])
        for message in messages:
            # A broken connection cannot acknowledge; the message is delivered again and recognized as a duplicate.
            with suppress(Exception):
                await message.ack()


class RabbitSource:
    """Sends requests to the queue that relays listen to."""

    def __init__(self, broker: RabbitBroker, source: str) -> None:
        self._broker = broker
        self._queue = f"{source}.events.requests"

    async def resend(self, stream: str, first: int, last: int) -> None:
        await self._send({"kind": "resend", "stream": stream, "from": first, "to": last})

    async def digests(self, stream: str, first: int, last: int, parts: int) -> None:
        await self._send({"kind": "digest", "stream": stream, "from": first, "to": last, "parts": parts})

    async def _send(self, request: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_REQUEST_LIMIT_S):
                await self._broker.publish(orjson.dumps(request), self._queue, mandatory=True, persist=True)
        except Exception as error:
            raise Unavailable(f"the request could not be sent: {type(error).__name__}") from error
