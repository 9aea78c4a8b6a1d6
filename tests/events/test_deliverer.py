"""What is recorded is delivered: signed, in order, again after a failure, and never lost."""

from __future__ import annotations

from uuid import uuid4

import orjson
from standardwebhooks import Webhook

from hutong import ids as typeids
from hutong.clock import SystemClock
from hutong.events import Counts


async def test_delivered_event_is_signed_and_verified_by_the_standard_library(world, receiver):
    world.clock = SystemClock()  # the library looks at the machine's clock
    endpoint = await world.endpoint()
    payment = uuid4()
    event = world.event(payment, amount=1999, subject="茶")
    await world.record(event)
    assert await world.deliverer().run_once() == Counts(delivered=1, failed=0, dead=0)
    [(_, headers, body)] = receiver.requests
    verified = Webhook(endpoint.secret).verify(body, headers)
    assert verified == {
        "id": typeids.encode("evt", event.event_id),
        "type": "payment.succeeded",
        "created_at": verified["created_at"],
        "object_seq": 1,
        "data": {"amount": 1999, "subject": "茶"},
    }
    assert headers["webhook-id"] == verified["id"]
    assert verified["created_at"].endswith("Z")
    assert headers["content-type"] == "application/json"
    assert orjson.loads(body) == verified
