"""`hutong bench events`, the part of the broker: a worker publishes, and a RabbitMQ of its own confirms."""

from __future__ import annotations

import pytest

from hutong.bench.events_broker import measure_broker
from hutong.bench.rabbitmq import RabbitMQ
from support import unavailable


def test_publishing_is_measured(environment: dict[str, str]) -> None:
    if not RabbitMQ.available():
        unavailable("RabbitMQ is not installed")
    found = measure_broker(count=1_500, seconds=0.4)
    assert found["broker_events_per_s"] > 0
    assert found["lag_p99_ms"] > 0
    assert 10 < found["relay_rss_mb"] < 150
    assert {"worker", "rabbitmq", "postgresql"} == found["broker_cpu_ms"].keys()


def test_without_a_broker_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RabbitMQ, "available", lambda: False)
    found = measure_broker(count=1, seconds=1)
    assert found == {
        "broker_events_per_s": None,
        "lag_p99_ms": None,
        "relay_rss_mb": None,
        "broker_skipped": "RabbitMQ is not installed",
    }
