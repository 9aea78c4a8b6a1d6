"""`hutong bench events`: it runs, and its figures have the names that programs read."""

from __future__ import annotations

import json
import subprocess
import sys

import orjson

from hutong import events
from hutong.bench.event_data import payment_data
from hutong.clock import ManualClock
from hutong.ids import Ids, encode
from support.event_forms import EventForms


def test_webhooks_are_measured(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hutong", "bench", "events", "--events", "40", "--part", "webhooks", "--yardstick", "1",
         "--json"],
        env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {
        "broker_events_per_s",
        "webhooks_per_s",
        "lag_p99_ms",
        "query_events_per_s",
        "relay_rss_mb",
    } <= result.keys()
    assert result["broker_events_per_s"] is None, "only one part was asked for"
    assert result["webhooks_per_s"] > 0
    assert result["webhooks_duplicates"] == 0
    assert result["ratio_webhooks"] > 0
    assert {"worker", "receiver", "postgresql"} <= result["webhooks_cpu_ms"].keys()


def test_its_events_have_the_form_of_real_ones(clock: ManualClock, ids: Ids) -> None:
    payment_id, now = ids.new(), clock.now()
    data = orjson.loads(orjson.dumps(payment_data(payment_id, ids.new(), 1, now)))
    event = events.RecordedEvent(
        ids.new(), "payment.succeeded", 1, ids.new(), payment_id, 1, orjson.dumps(data).decode(), now
    )
    assert EventForms().faults(orjson.loads(events.webhook_body(encode("evt", event.event_id), event))) == []


def test_a_part_that_is_none_is_refused(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hutong", "bench", "events", "--part", "pigeons"],
        env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--part" in done.stderr
