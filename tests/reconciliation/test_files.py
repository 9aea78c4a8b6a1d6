"""Bills come in by upload: once by their content, whole or not at all, and what they contradict is replaced."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bill_world import DAY, READY, BillWorld, bill

from hutong import channels
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import InvalidParameter, InvariantBroken
from hutong.reconciliation import FileState, files, list_requests
from hutong.reconciliation.archive import sha256_of
from hutong.reconciliation.exclusion import alone


@pytest.fixture
async def world(database: Database, clock: ManualClock, tmp_path: Path) -> BillWorld:
    clock.advance(READY)
    world = BillWorld(database, clock, tmp_path / "reconciliation")
    await world.register()
    return world


async def requests(world: BillWorld) -> int:
    async with world.database.transaction() as tx:
        found = await list_requests(tx, open_only=True, limit=1_000)
    return sum(request.account_id == world.account_id for request in found)


async def test_a_file_is_read_and_its_original_kept(world: BillWorld) -> None:
    content = bill(range(10))
    file = await world.take(content)
    assert (file.state, file.rows, file.exceptions, file.reason) == (FileState.PARSED, 10, 0, None)
    (kept,) = (world.config.folder / world.name / DAY.isoformat() / "inputs").iterdir()
    assert kept.read_bytes() == content
    assert sha256_of(kept) == file.sha256
    assert await requests(world) == 1


async def test_the_same_file_twice_and_renamed_changes_nothing(world: BillWorld) -> None:
    first = await world.take(bill(range(10)))
    again = await world.take(bill(range(10)), name="another.zm")
    assert again == first
    assert await world.states() == ["parsed"]


async def test_two_halves_add_up_and_the_halves_after_the_whole_are_covered(world: BillWorld) -> None:
    await world.take(bill(range(5)))
    await world.take(bill(range(5, 10)))
    assert await world.states() == ["parsed", "parsed"]
    assert await world.counted_rows() == 10
    whole = await world.take(bill(range(10)))
    assert whole.state is FileState.REPLACED, "both halves have all of its rows"


async def test_the_halves_after_the_whole_are_covered(world: BillWorld) -> None:
    whole = await world.take(bill(range(10)))
    half = await world.take(bill(range(5)))
    assert (half.state, half.replaced_by) == (FileState.REPLACED, whole.file_id)
    assert await world.counted_rows() == 10


async def test_a_file_that_two_read_at_the_same_time_is_read_once(world: BillWorld) -> None:
    file = await world.receive(bill(range(10)))
    both = await asyncio.gather(*(files.read_file(world.use, file.file_id) for _ in range(2)))
    assert [(each.state, each.replaced_by) for each in both] == [(FileState.PARSED, None)] * 2
    assert await world.counted_rows() == 10


async def test_who_is_late_to_read_a_file_does_not_replace_its_correction(
    world: BillWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await world.receive(bill(range(10)))
    was_overtaken = False

    @asynccontextmanager
    async def overtaken(*place: Any) -> AsyncIterator[None]:
        """Hold the account's folder, after another process has read the file and its correction."""
        nonlocal was_overtaken
        if not was_overtaken:
            was_overtaken = True
            await files.read_file(world.use, first.file_id)
            await world.take(bill(range(9)) + bill([9], amount=1_200))
        async with alone(*place):
            yield

    monkeypatch.setattr("hutong.reconciliation.files.read.alone", overtaken)
    assert (await files.read_file(world.use, first.file_id)).state is FileState.REPLACED
    assert await world.states() == ["replaced", "parsed"]
    assert await world.counted_rows() == 10


@pytest.mark.parametrize("is_whole", [False, True])
async def test_a_file_that_is_read_after_its_correction_does_not_replace_it(world: BillWorld, is_whole: bool) -> None:
    first = await world.receive(bill(range(10)), is_whole=is_whole)
    rows = range(8) if is_whole else [*range(9), 10]
    later = await world.take(bill(rows), is_whole=is_whole)
    late = await files.read_file(world.use, first.file_id)
    assert (late.state, late.replaced_by) == (FileState.REPLACED, later.file_id)
    assert await world.states() == ["replaced", "parsed"]


async def test_a_part_that_is_read_before_its_whole_is_covered(world: BillWorld) -> None:
    whole = await world.receive(bill(range(10)))
    part = await world.take(bill(range(5)))
    assert (await files.read_file(world.use, whole.file_id)).state is FileState.PARSED
    assert await world.states() == ["parsed", "replaced"]
    assert part.state is FileState.PARSED
    assert await world.counted_rows() == 10


async def test_equal_rows_count_as_often_as_they_occur(world: BillWorld) -> None:
    await world.take(bill([1, 2]))
    twins = await world.take(bill([1, 1, 2]))
    assert twins.state is FileState.PARSED
    assert await world.states() == ["replaced", "parsed"]
    assert await world.counted_rows() == 3


async def test_a_restated_bill_replaces_its_forerunner(world: BillWorld) -> None:
    first = await world.take(bill(range(10)))
    other = await world.take(bill(range(20, 25)))
    restated = await world.take(bill(range(9)) + bill([9], amount=1_200))
    assert restated.state is FileState.PARSED
    assert restated.reason == "corrects 1 of this day's files: 1 rows are new or changed"
    assert await world.states() == ["replaced", "parsed", "parsed"]
    async with world.database.transaction() as tx:
        replaced = await files.find_file(tx, first.file_id)
        counting = await files.files_that_count(tx, world.account_id, DAY)
    assert replaced.replaced_by == restated.file_id
    assert [file.file_id for file in counting] == [other.file_id, restated.file_id]


async def test_a_whole_bill_that_only_lacks_rows_replaces_its_forerunners(world: BillWorld) -> None:
    await world.take(bill(range(10)), is_whole=True)
    await world.take(bill(range(20, 25)))
    part = await world.take(bill(range(7)))
    assert part.state is FileState.REPLACED, "without the word it is a part of what is there"
    whole = await world.take(bill(range(8)), is_whole=True)
    assert (whole.state, whole.is_whole) == (FileState.PARSED, True)
    assert whole.reason == "corrects 2 of this day's files: 0 rows are new or changed, 7 are gone or were otherwise"
    assert await world.states() == ["replaced", "replaced", "replaced", "parsed"]
    assert await world.counted_rows() == 8


async def test_a_whole_bill_that_has_just_the_rows_of_its_parts_is_covered(world: BillWorld) -> None:
    await world.take(bill(range(5)))
    await world.take(bill([5, 5, 6]))
    assert (await world.take(bill([*range(5), 5, 5, 6]), is_whole=True)).state is FileState.REPLACED
    assert await world.counted_rows() == 8
    assert (await world.take(bill([*range(5), 5, 6]), is_whole=True)).state is FileState.PARSED
    assert await world.states() == ["replaced", "replaced", "replaced", "parsed"]


async def test_a_file_of_another_layout_is_refused_whole_with_its_line_and_read_again_once_mended(
    world: BillWorld,
) -> None:
    content = bill(range(3)) + b"not a row\n"
    refused = await world.take(content)
    assert refused.state is FileState.REFUSED
    assert refused.reason is not None
    assert "4" in refused.reason, "the line is named"
    assert await requests(world) == 0
    again = await world.receive(content)
    assert (again.file_id, again.state, again.reason) == (refused.file_id, FileState.RECEIVED, None)


async def test_a_row_that_cannot_be_read_is_one_exception(world: BillWorld) -> None:
    content = bill(range(3)).replace(b"000000001000", b"00000000100X", 1)
    file = await world.take(content)
    assert (file.state, file.rows, file.exceptions) == (FileState.PARSED, 2, 1)
    async with world.database.transaction() as tx:
        (kept,) = await channels.accounts.list_bill_exceptions(tx, account_id=world.account_id)
    assert (kept.kind, kept.day, kept.line_no) == ("trade", DAY, 1)


async def test_what_a_killed_process_left_is_removed_after_two_days_and_what_is_in_use_is_kept(
    world: BillWorld,
) -> None:
    root, now = world.config.folder / "incoming", world.clock.now().timestamp()
    for name, days in (("left", 3), ("used", 1)):
        (root / name).mkdir(parents=True)
        os.utime(root / name, (now - days * 86_400,) * 2)
    with files.staging(world.use) as folder:
        assert {each.name for each in root.iterdir()} == {"used", folder.name}
    assert [each.name for each in root.iterdir()] == ["used"]


async def test_a_sandbox_whose_clock_is_ahead_removes_nothing_that_is_in_use(
    world: BillWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ahead = world.config.folder / "incoming", timedelta(days=30)
    monkeypatch.setattr("hutong.clock.ahead_ns", lambda: ahead // timedelta(microseconds=1) * 1_000)
    (root / "used").mkdir(parents=True)
    now = world.clock.now().timestamp()
    os.utime(root / "used", (now, now))
    world.clock.advance(ahead)
    with files.staging(world.use):
        assert (root / "used").exists()


@pytest.mark.parametrize("name", ["", "../bill", "a/b", "a\\b", "..", "x" * 201, "bill\n.csv", "\x00"])
async def test_a_name_with_tricks_is_refused(world: BillWorld, name: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await world.receive(bill([1]), name)
    assert refused.value.param == "name"


@pytest.mark.parametrize(
    ("content", "changes", "param"),
    [
        (b"", {}, "file"),
        (b"x" * ((1 << 20) + 1), {}, "file"),
        (bill([1]), {"layout": "no_such_layout"}, "layout"),
        (bill([1]), {"layout": "camt"}, "layout"),
        (bill([1]), {"day": DAY.replace(year=2030)}, "day"),
        (bill([1]), {"day": None}, "day"),
    ],
    ids=["empty", "huge", "unknown layout", "layout of a bank", "future", "no day"],
)
async def test_a_file_that_cannot_be_taken_is_refused_by_the_field(
    world: BillWorld, content: bytes, changes: dict[str, object], param: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await world.receive(content, **changes)
    assert refused.value.param == param
    assert await world.states() == []


async def test_an_archived_original_that_was_changed_is_noticed(world: BillWorld) -> None:
    await world.take(bill(range(3)) + b"not a row\n")
    (kept,) = (world.config.folder / world.name / DAY.isoformat() / "inputs").iterdir()
    kept.chmod(0o600)
    kept.write_bytes(b"something else")
    with pytest.raises(InvariantBroken):
        await world.receive(bill(range(3)) + b"not a row\n")


async def test_uploaded_files_are_read_by_the_worker(world: BillWorld) -> None:
    await world.receive(bill([1]))
    await world.receive(bill([2]))
    assert await files.read_received(world.use) == 2
    assert await world.states() == ["parsed", "parsed"]
    assert await requests(world) == 1, "one request for the day"
