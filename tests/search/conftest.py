"""A merchant's payments as events tell them."""

from __future__ import annotations

import pytest

from hutong.clock import ManualClock
from support.fixtures.payment_records import Bills


@pytest.fixture
def bills(clock: ManualClock) -> Bills:
    return Bills(clock)
