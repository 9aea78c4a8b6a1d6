"""Connections to brokers by URL. FastStream is loaded when one is used: it is an extra, and costs memory."""

from __future__ import annotations

import importlib
from contextlib import AbstractAsyncContextManager

from hutong.errors import ConfigurationError
from hutong.events.streams.relay import AnswerRequest, Connect
from hutong.events.streams.streams import Publisher

CONFIRM_LIMIT_S = 5.0
"""The longest time to wait for a confirmation; a slower broker counts as down."""

_MODULES = {"amqp": "rabbitmq", "amqps": "rabbitmq", "kafka": "kafka"}
_EXTRAS = {"rabbitmq": "rabbit", "kafka": "kafka"}


def connector(url: str, *, source: str = "hutong", confirm_limit_s: float = CONFIRM_LIMIT_S) -> Connect:
    """Return a function that connects to a broker.

    Args:
        url: `amqp://…` or `amqps://…` for RabbitMQ, `kafka://host:port,host:port` for Kafka.
        source: The prefix of the names of exchange, queues and topics.

    Errors:
        ConfigurationError: the scheme is another one, or the package for it is not installed.
    """
    scheme = url.partition("://")[0]
    name = _MODULES.get(scheme)
    if name is None:
        raise ConfigurationError(
            "HUTONG_BROKER_URL must begin with amqp://, amqps:// or kafka://", param="HUTONG_BROKER_URL"
        )
    try:
        module = importlib.import_module(f"hutong.events.streams.brokers.{name}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"this broker needs a package that is not installed: pip install 'hutong[{_EXTRAS[name]}]'",
            param="HUTONG_BROKER_URL",
        ) from error

    def connect(answer: AnswerRequest | None) -> AbstractAsyncContextManager[Publisher]:
        publisher: AbstractAsyncContextManager[Publisher] = module.connect(
            url, answer, source=source, confirm_limit_s=confirm_limit_s
        )
        return publisher

    return connect
