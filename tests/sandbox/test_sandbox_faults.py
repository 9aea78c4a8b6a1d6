"""Faults that all simulated channels share, and the control API for each of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from hutong.clock import ManualClock
from hutong.sandbox import accounts
from hutong.sandbox.bill import DIFFERENCES, Entry, plant
from hutong.sandbox.faults import Faults, NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.registry import SIMULATORS

CHANNELS = [kind.channel for kind in SIMULATORS]


@dataclass
class About:
    notify_url: str
    notified: int = 0
    accepted: bool = False


async def test_a_reordered_notification_comes_after_a_later_one(notices) -> None:
    url, taken = notices
    notifier = Notifier([], lambda status, body: (status, body) == (200, b"success"))
    first, second = About(url), About(url)
    notifier.start(first, NotifyFaults(reorder=True), lambda: ({}, b"first"))
    await asyncio.sleep(0)
    notifier.start(second, NotifyFaults(), lambda: ({}, b"second"))
    assert [(await taken.get())[1] for _ in range(2)] == [b"second", b"first"]
    await notifier.close()


@pytest.mark.parametrize(("body", "accepted"), [(b"success", True), (b"fail", False)])
async def test_a_channel_may_require_a_body_for_an_acceptance(notices, body: bytes, accepted: bool) -> None:
    url, taken = notices
    notifier = Notifier([], lambda status, answer: answer == body)
    about = About(url)
    notifier.start(about, NotifyFaults(), lambda: ({}, b""))
    await taken.get()
    for _ in range(100):
        if about.accepted is accepted and about.notified:
            break
        await asyncio.sleep(0.01)
    assert about.accepted is accepted
    await notifier.close()


def test_so_many_percent_of_the_calls_fail(clock: ManualClock) -> None:
    faults = Faults(percent=20)
    assert 130 < sum(faults.refuses(clock.now()) for _ in range(1000)) < 270
    assert not any(Faults().refuses(clock.now()) for _ in range(1000))


@pytest.mark.parametrize("channel", CHANNELS)
async def test_maintenance_lasts_for_its_time(url: str, channel: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/control/{channel}/faults", json={"maintenance_ms": 60_000}) as response:
            assert (await response.json())["maintenance_until"] is not None
        async with session.post(f"{url}/control/{channel}/reset") as response:
            assert (await response.json())["maintenance_until"] is None


async def test_what_calls_will_meet_is_replaced_whole_and_leaves_the_rest(url: str) -> None:
    refusal = {"interface": "place", "kind": "error", "status": 403, "code": "NO_AUTH", "times": 1_000}
    async with aiohttp.ClientSession() as session:
        for sent, calls in (({"calls": [refusal], "auto_pay_ms": 50}, 1), ({"percent": 5}, 1), ({"calls": []}, 0)):
            async with session.post(f"{url}/control/wechat/faults", json=sent) as response:
                faults = await response.json()
            assert (len(faults["calls"]), faults["auto_pay_ms"]) == (calls, 50)


async def test_the_control_api_names_its_channels(url: str, folder) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/control") as response:
            assert await response.json() == {"channels": CHANNELS}
        async with session.get(f"{url}/control/barter/truth") as response:
            assert response.status == 404
        async with session.get(f"{url}/control/{CHANNELS[0]}/sing") as response:
            assert response.status == 404
    assert list(accounts(folder, url)) == CHANNELS


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("next", {"interface": "place", "kind": "sulk"}),
        ("next", {"interface": "sing", "kind": "dropped"}),
        ("faults", {"percent": 101}),
        ("faults", {"calls": [{"interface": "place", "kind": "sulk"}]}),
        ("faults", {"calls": [{"interface": "sing", "kind": "dropped"}]}),
        ("bill", {"day": "2026-01-01", "differences": {"wrong": 1}}),
        ("bill", {"day": "2026-01-01", "kind": "wrong"}),
    ],
)
async def test_a_wrong_request_is_refused(url: str, channel: str, path: str, fields: dict[str, Any]) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/control/{channel}/{path}", json=fields) as response,
    ):
        assert response.status == 422


def entry(clock: ManualClock, number: int) -> Entry:
    own, channel = f"att_{number:026d}", f"4200{number:024d}"
    return Entry(
        "payment",
        own,
        channel,
        own,
        channel,
        100 + number,
        100 + number,
        "CNY",
        1,
        "SUCCESS",
        clock.now(),
        "tea",
        "",
        {},
    )


def test_each_difference_is_planted_on_a_row_of_its_own_and_listed_in_the_key(clock: ManualClock) -> None:
    true = [entry(clock, number) for number in range(40)]
    differences = dict.fromkeys(DIFFERENCES, 2)
    rows, key = plant(true, differences, seed=7, odd_state="ODD")
    assert sorted(row["class"] for row in key) == sorted(list(DIFFERENCES) * 2)
    assert len(rows) == 40 - 2 + 2 + 2
    assert len({row["number"] for row in key}) == len(key)
    untouched = [row for row in rows if row.number not in {difference["number"] for difference in key}]
    assert all(row in true for row in untouched)
    assert plant(true, differences, seed=7, odd_state="ODD") == (rows, key)
    assert plant(true, differences, seed=8, odd_state="ODD") != (rows, key)


def test_more_differences_than_rows_plant_what_there_is_room_for(clock: ManualClock) -> None:
    assert plant([], {"missing": 3, "extra": 3}, seed=1, odd_state="ODD") == ([], [])
    rows, key = plant([entry(clock, 1)], {"missing": 3}, seed=1, odd_state="ODD")
    assert (rows, len(key)) == ([], 1)
