"""Each type of event has a sample, which is what its schema says and marked as a test."""

from __future__ import annotations

import orjson
import pytest

from hutong import api, events
from hutong.clock import ManualClock
from hutong.ids import Ids
from support.event_forms import EventForms


@pytest.fixture(scope="module")
def forms() -> EventForms:
    return EventForms()


@pytest.mark.parametrize("name", sorted({one.name for one in api.EVENT_TYPES}))
def test_a_sample_has_the_form_of_its_type(forms: EventForms, name: str, ids: Ids, clock: ManualClock) -> None:
    event = api.sample_event(name, ids.new(), "https://pay.example", new_id=ids.new, now=clock.now())
    body = orjson.loads(events.webhook_body(event.name, event, is_test=True))
    assert forms.faults(body) == []
    assert body["test"] is True
    assert "test" not in orjson.loads(events.webhook_body(event.name, event))
