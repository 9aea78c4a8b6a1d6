"""What exists in the sandbox alone is refused by an installation that is none."""

from __future__ import annotations

from typing import Any

import pytest

from support.running_platform import PlatformApi, Shop


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"advance_seconds": 60})])
async def test_time_is_not_moved_outside_the_sandbox(
    platform_api: PlatformApi, shop: Shop, method: str, body: dict[str, Any] | None
) -> None:
    answer = await platform_api.call(method, "/v1/sandbox/clock", shop=shop, json=body)
    assert (answer.status, answer.json["code"]) == (403, "sandbox_only")
