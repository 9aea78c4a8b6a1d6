"""A merchant's payments as events tell them."""

from __future__ import annotations

import pytest

from bill_world import Bills
from hutong.clock import ManualClock


@pytest.fixture
def bills(clock: ManualClock) -> Bills:
    return Bills(clock)
