"""Kafka: a consumer group; offsets are committed after the transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from faststream import AckPolicy
from faststream.confluent import KafkaBroker
from faststream.confluent.annotations import KafkaMessage

from hutong.consumer.consumer import Consumer
from hutong.consumer.transport import take_batch
from hutong.errors import Unavailable

_CLOSE_LIMIT_S = 5.0
_START_LIMIT_S = 30.0


async def run(consumer: Consumer, servers: str, *, topics: Sequence[str], group: str | None, batch: int) -> None:
    """Run a consumer on topics of Kafka; see `transport.kafka`."""
    broker = KafkaBroker(
        servers.split(","),
        graceful_timeout=_CLOSE_LIMIT_S,
        allow_auto_create_topics=False,  # topics belong to the publisher; a missing one is awaited
        logger=None,
    )

    async def raw(message: Any) -> list[bytes]:
        return [bytes(body) for body in message.body]

    @broker.subscriber(
        *topics,
        group_id=group or consumer.name,
        auto_offset_reset="earliest",
        batch=True,
        max_records=batch,
        ack_policy=AckPolicy.MANUAL,
        decoder=raw,
        no_reply=True,
    )
    async def handle(message: KafkaMessage) -> None:
        await take_batch(consumer, [bytes(body) for body in message.body])
        await message.ack()

    try:
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await broker.start()
        except Exception as error:
            raise Unavailable(f"the broker does not answer: {type(error).__name__}") from error
        await consumer.attend(None)
    finally:
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await broker.stop()
