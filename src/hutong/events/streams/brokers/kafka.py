"""Kafka: a topic for each topic of events, the object's id as the key, an idempotent producer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from faststream.confluent import KafkaBroker

from hutong.errors import Unavailable
from hutong.events.streams.messages import StreamItem
from hutong.events.streams.relay import AnswerRequest
from hutong.events.streams.streams import confirm_each

_CLOSE_LIMIT_S = 5.0


@asynccontextmanager
async def connect(
    url: str,
    answer: AnswerRequest | None,  # noqa: ARG001 - operators use `hutong events resend` instead
    *,
    source: str,
    confirm_limit_s: float,
) -> AsyncIterator[KafkaPublisher]:
    """Connect to the brokers.

    Errors:
        Unavailable: no broker answers.
    """
    broker = KafkaBroker(
        url.partition("://")[2].rstrip("/").split(","),
        acks="all",
        enable_idempotence=True,
        config={"message.timeout.ms": round(confirm_limit_s * 1000)},  # type: ignore[arg-type]
        logger=None,
    )
    try:
        try:
            async with asyncio.timeout(confirm_limit_s):
                await broker.start()
                reached = await broker.ping(confirm_limit_s / 2)
        except Exception as error:
            raise Unavailable(f"the broker does not answer: {type(error).__name__}") from error
        if not reached:
            raise Unavailable("the broker does not answer")
        yield KafkaPublisher(broker, source, confirm_limit_s)
    finally:
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await broker.stop()


class KafkaPublisher:
    """Publishes to `{source}.{topic}`, and waits until all in-sync replicas have each message."""

    def __init__(self, broker: KafkaBroker, source: str, confirm_limit_s: float) -> None:
        self._broker = broker
        self._source = source
        self._confirm_limit_s = confirm_limit_s

    async def publish(self, items: Sequence[StreamItem]) -> list[bool]:
        """Publish items, and return for each whether the broker confirmed it in time."""
        return await confirm_each((self._publish_one(item) for item in items), self._confirm_limit_s + 1)

    async def _publish_one(self, item: StreamItem) -> None:
        headers: dict[str, Any] = {
            "stream": item.stream,
            "type": item.type,
            "message_id": item.message_id,
            "content-type": "application/json",
        }
        if item.no is not None:
            headers["no"] = str(item.no)
        if item.resent:
            headers["resent"] = "true"
        await self._broker.publish(
            item.body,
            f"{self._source}.{topic_of(item.stream, self._source)}",
            key=item.key,
            headers=headers,
            correlation_id=item.message_id,
        )


def topic_of(stream: str, source: str) -> str:
    """Return the part of a stream's name between its source and its zone."""
    return stream.removeprefix(f"{source}.").rpartition(".")[0]
