"""Transports that feed a consumer from a broker. FastStream is loaded when one is used: it is an extra."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import Any

import asyncpg

from hutong import telemetry
from hutong.consumer.consumer import Consumer
from hutong.errors import ConfigurationError, OutcomeUnknown, Unavailable

_log = telemetry.get_logger(__name__)
_PAUSE_S = 1.0
_PAUSE_MAX_S = 30.0


async def rabbit(consumer: Consumer, url: str, *, queue: str, source: str = "hutong", batch: int = 500) -> None:
    """Run a consumer on a queue of RabbitMQ until cancelled.

    Args:
        url: `amqp://…` or `amqps://…`.
        queue: The consumer's own durable quorum queue, created if absent and bound to the exchange of events.
        source: The prefix of the names of the exchange and of the queue of requests.
        batch: The most messages received at once; twice as many are held unacknowledged.

    Effects:
        A message is acknowledged after its transaction was committed. Missing messages are requested.

    Errors:
        Unavailable: the broker does not answer at the start. After later interruptions the consumer continues.
        ConfigurationError: the package for the broker is not installed.
    """
    await _module("rabbitmq", "rabbit").run(consumer, url, queue=queue, source=source, batch=batch)


async def kafka(
    consumer: Consumer, servers: str, *, topics: Sequence[str], group: str | None = None, batch: int = 500
) -> None:
    """Run a consumer on topics of Kafka until cancelled.

    Args:
        servers: `host:port,host:port`.
        topics: Such as "hutong.payment".
        group: The consumer group; None takes the consumer's name.
        batch: The most messages received at once.

    Effects:
        Offsets are committed after the transaction. Missing messages are logged as `stream_needs_resending`, for
        `hutong events resend`: over Kafka nobody receives requests.

    Errors:
        As for `rabbit`.
    """
    await _module("confluent", "kafka").run(consumer, servers, topics=topics, group=group, batch=batch)


async def take_batch(consumer: Consumer, bodies: Sequence[bytes]) -> None:
    """Let the consumer take a batch, and repeat that while the database is unavailable."""
    pause = _PAUSE_S
    while True:
        try:
            await consumer.take(bodies)
        except asyncpg.SyntaxOrAccessError:  # no tables or no rights: waiting does not help
            raise
        except (Unavailable, OutcomeUnknown, asyncpg.PostgresError) as error:
            _log.warning("consumer_interrupted", consumer=consumer.name, reason=type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX_S)
        else:
            return


def _module(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(f"hutong.consumer.{name}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"this broker needs a package that is not installed: pip install 'hutong[{extra}]'"
        ) from error
