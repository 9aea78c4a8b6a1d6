"""The bench of bills measures what it says, and finds out a rebuild that is not equal."""

from __future__ import annotations

import sys

import pytest

from hutong.bench.events_query import measure_query_at
from hutong.errors import InvariantBroken


async def test_all_events_are_followed_and_both_rebuilds_are_equal(fresh_database_url: str) -> None:
    measured = await measure_query_at(fresh_database_url, 300, from_tables=True)
    assert measured["query_events"] == 330
    assert measured["query_events_per_s"] > 0
    assert {"query_rebuild_from_events_s", "query_rebuild_from_tables_s"} <= set(measured)


async def test_a_rebuild_that_is_not_equal_fails(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["hutong.search.rebuild"], "instant", lambda _: "another instant")
    with pytest.raises(InvariantBroken):
        await measure_query_at(fresh_database_url, 20, from_tables=True)
