"""Events of a merchant's payments."""

from __future__ import annotations

import pytest

from hutong.clock import ManualClock
from support.fixtures.payment_records import PaymentEvents


@pytest.fixture
def payment_events(clock: ManualClock) -> PaymentEvents:
    return PaymentEvents(clock)
