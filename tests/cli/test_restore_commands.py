"""`hutong restore …`, and how a restore is noticed."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hutong import app, config
from hutong.app.restore import watch_restore
from hutong.clock import SystemClock
from hutong.db import CatchUp, Database, open_catch_up, refresh_catch_up
from hutong.errors import ConfigurationError
from hutong.ids import decode
from support import create_database
from support.command_line import Run

CLOCK = SystemClock()


def status(command: Run) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(command("restore", "status", "--json").stdout)
    return shown


def test_an_operator_begins_and_ends_a_catch_up_with_a_reason(command: Run) -> None:
    assert command("restore", "status").stdout == "normal work\n"
    assert command("restore", "finish", "--reason", "x").returncode == 2
    assert "--reason" in command("restore", "begin", "--reason", " ").stderr
    assert command("restore", "begin", "--reason", "the machine was restored").returncode == 0
    shown = status(command)
    assert (shown["mode"], shown["reason"], shown["epoch"], shown["unknown_numbers"]) == ("catch_up", "operator", 2, [])
    checked = command("doctor")
    assert checked.returncode == 1
    assert "catching up since" in checked.stdout
    assert "catching up since" in command("restore", "status").stdout
    assert "begin of the lost time is not known" in command("restore", "status").stdout
    assert command("restore", "finish", "--reason", "all is adopted", "--by", "ops").returncode == 0
    assert status(command)["mode"] == "normal"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("ref_01h455vb4pex5vsknk084sn02q",), "--merchant"),
        (("ref_x", "--merchant", "mer_x", "--order-no", "1"), "--method"),
        (("ref_x", "--merchant", "mer_x", "--order-no", "1", "--method", "m", "--refund-no", "r"), "--method"),
        (("att_x", "--merchant", "mer_01h455vb4pex5vsknk084sn02q", "--order-no", "1", "--method", "m"), "--merchant"),
    ],
)
def test_an_adoption_that_cannot_be_names_what_is_wrong(command: Run, arguments: tuple[str, ...], named: str) -> None:
    refused = command("restore", "adopt", *arguments)
    assert refused.returncode == 2
    assert named in refused.stderr


def test_without_a_number_all_that_is_known_is_adopted(command: Run) -> None:
    assert command("restore", "adopt").stdout == "0 adopted\n"


def test_an_operator_gives_the_begin_of_the_lost_time(command: Run) -> None:
    future = command("restore", "begin", "--reason", "x", "--lost-since", "2999-01-01T00:00:00Z")
    assert (future.returncode, status(command)["mode"]) == (2, "normal")
    assert "--lost-since" in future.stderr
    begun = command("restore", "begin", "--reason", "x", "--lost-since", "2026-11-20T12:00:00+0800")
    assert begun.returncode == 0, begun.stderr
    shown = status(command)
    assert (shown["lost_since"], shown["bills_unread"]) == ("2026-11-20T04:00:00.000Z", [])
    assert "bills to read: 0" in command("restore", "status").stdout
    assert command("restore", "bills").returncode == 0


def test_a_bill_or_a_number_that_cannot_be_is_refused(command: Run) -> None:
    without = command("restore", "bills", "--day", "2026-11-20")
    assert (without.returncode, "--account" in without.stderr) == (2, True)
    command("restore", "begin", "--reason", "x")
    missing = command("restore", "bills", "--day", "2026-11-20", "--account", "acc_01h455vb4pex5vsknk084sn02q")
    assert (missing.returncode, "2026-11-20" in missing.stderr) == (1, True)
    dismissed = command("restore", "dismiss", "att_x", "--reason", "not ours")
    assert (dismissed.returncode, "NUMBER" in dismissed.stderr) == (2, True)


def test_a_bill_of_the_lost_time_is_dismissed_with_a_reason(command: Run, fresh_database_url: str) -> None:
    account = "acc_01h455vb4pex5vsknk084sn02q"
    dismiss = ("restore", "dismiss-bill", account, "2026-11-20", "--reason", "closed in May")
    normal = command(*dismiss)
    assert (normal.returncode, "not catching up" in normal.stderr) == (2, True)
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO channels.account (id, channel, name, sandbox, credentials_sealed, enabled, version, "
            "created_at, updated_at) VALUES (%s, 'alipay', 'lost', false, '\\x00', false, 1, now(), now())",
            [decode("acc", account)],
        )
        owner.execute("SELECT db.begin_catch_up('operator', '2026-11-20T06:00:00Z', '2026-11-20T04:00:00Z')")
    (bill,) = status(command)["bills_unread"]
    assert (bill["account"], bill["day"], bill["fetches"]) == (account, "2026-11-20", 0)
    empty = command("restore", "dismiss-bill", account, "2026-11-20", "--reason", " ")
    assert (empty.returncode, "--reason" in empty.stderr) == (2, True)
    absent = command("restore", "dismiss-bill", account, "2026-11-21", "--reason", "x")
    assert (absent.returncode, "no bill" in absent.stderr) == (2, True)
    assert account in command("restore", "status").stdout
    assert command(*dismiss, "--by", "the operator on duty").stdout == "dismissed\n"
    assert status(command)["bills_unread"] == []
    with psycopg.connect(fresh_database_url) as owner:
        kept = owner.execute("SELECT dismissed_by, dismiss_reason FROM payments.lost_bill").fetchall()
    assert kept == [("the operator on duty", "closed in May")]


async def lost_since(url: str) -> tuple[datetime | None, datetime | None]:
    """The begin of the lost time, and when this database's mark was raised last."""
    async with Database.open(url, size=2) as database, database.transaction() as tx:
        catch_up = await open_catch_up(tx)
        raised = await tx.fetchval("SELECT max(raised_at) FROM db.machine")
    return None if catch_up is None else catch_up.lost_since, raised


async def test_the_lost_time_begins_when_the_machine_that_notices_had_raised_the_mark_last(
    server_url: str, fresh_database_url: str, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for home in (here, there):
        home.mkdir()
    await watch(fresh_database_url, here)
    _, before = await lost_since(fresh_database_url)
    earlier = create_database(server_url, fresh_database_url)
    for _ in range(3):
        await watch(fresh_database_url, here)
    # Another machine works with the restored database first: it has no mark that could tell.
    assert await watch(earlier, there) is None
    assert await watch(earlier, here) is not None
    assert (await lost_since(earlier))[0] == before


async def test_a_machine_that_the_restored_database_does_not_know_cannot_tell_when_the_lost_time_began(
    server_url: str, fresh_database_url: str, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for home in (here, there):
        home.mkdir()
    await watch(fresh_database_url, here)
    earlier = create_database(server_url, fresh_database_url)
    for _ in range(3):
        await watch(fresh_database_url, there)
    assert await watch(earlier, there) is not None
    assert (await lost_since(earlier))[0] is None


async def test_a_restore_while_catching_up_covers_what_the_earlier_one_did(
    fresh_database_url: str, tmp_path: Path
) -> None:
    await watch(fresh_database_url, tmp_path)
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute("SELECT db.begin_catch_up('operator', now(), '2026-11-20T04:00:00Z')")
    (tmp_path / "restored.json").write_text("{}")
    found = await watch(fresh_database_url, tmp_path)
    assert found is not None
    assert (found.reason, found.lost_since) == ("backup", datetime(2026, 11, 20, 4, tzinfo=UTC))
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute("SELECT db.begin_catch_up('operator', now())")
    os.utime(tmp_path / "restored.json", ns=(1, 1))
    again = await watch(fresh_database_url, tmp_path)
    assert again is not None
    assert again.lost_since is None, "unknown before, unknown still"


async def watch(url: str, home: Path) -> CatchUp | None:
    async with Database.open(url, size=2) as database:
        return await watch_restore(database, home, now=CLOCK.now())


async def test_a_database_that_went_back_is_noticed_by_the_mark_outside(
    server_url: str, fresh_database_url: str, tmp_path: Path
) -> None:
    assert await watch(fresh_database_url, tmp_path) is None
    earlier = create_database(server_url, fresh_database_url)
    for _ in range(3):
        assert await watch(fresh_database_url, tmp_path) is None
    found = await watch(earlier, tmp_path)
    assert found is not None
    assert (found.reason, found.epoch) == ("high_water", 2)
    again = await watch(earlier, tmp_path)
    assert again is not None
    assert (again.catch_up_id, again.prepared_at is not None) == (found.catch_up_id, True), "noticed once"


async def test_another_machine_with_a_higher_mark_begins_no_second_catch_up(
    server_url: str, fresh_database_url: str, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for home in (here, there):
        home.mkdir()
    await watch(fresh_database_url, here)
    earlier = create_database(server_url, fresh_database_url)
    for _ in range(5):
        await watch(fresh_database_url, there)
    await watch(fresh_database_url, here)
    first, second = await watch(earlier, here), await watch(earlier, there)
    assert first is not None
    assert second is not None
    assert first.catch_up_id == second.catch_up_id


async def test_two_processes_on_one_machine_raise_no_alarm(fresh_database_url: str, tmp_path: Path) -> None:
    async with Database.open(fresh_database_url, size=8) as database:
        for _ in range(5):
            found = await asyncio.gather(
                *(watch_restore(database, tmp_path, now=CLOCK.now()) for _ in range(4)),
            )
            assert found == [None] * 4
    assert max(json.loads((tmp_path / "high_water.json").read_text()).values()) == 20


async def test_a_restored_backup_is_noticed_by_the_file_that_it_leaves(fresh_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "restored.json").write_text("{}")
    for _ in range(2):
        found = await watch(fresh_database_url, tmp_path)
        assert found is not None
        assert (found.reason, found.epoch) == ("backup", 2)
    (tmp_path / "restored.json").write_text("{}")
    os.utime(tmp_path / "restored.json", ns=(1, 1))
    again = await watch(fresh_database_url, tmp_path)
    assert again is not None
    assert again.epoch == 3, "another restore"


async def test_a_database_in_another_cluster_is_noticed_by_itself(fresh_database_url: str, tmp_path: Path) -> None:
    await watch(fresh_database_url, tmp_path)
    _, before = await lost_since(fresh_database_url)
    assert before is not None
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute("UPDATE db.cluster SET system_identifier = 1, epoch = epoch")
    found = await watch(fresh_database_url, tmp_path)
    assert found is not None
    assert (found.reason, found.epoch) == ("cluster", 2)
    assert found.lost_since == before


async def test_a_broken_mark_is_named_and_nothing_is_raised(fresh_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "high_water.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"high_water\.json"):
        await watch(fresh_database_url, tmp_path)


async def test_a_platform_opens_in_catch_up_and_follows_its_end(command: Run) -> None:
    begun = await asyncio.to_thread(command, "restore", "begin", "--reason", "test")
    assert begun.returncode == 0
    async with app.open_platform(config.load()) as platform:
        assert platform.database.catching_up_since is not None
        assert platform.database.predates_restore(platform.clock.now() - timedelta(days=1))
        await asyncio.to_thread(command, "restore", "finish", "--reason", "test")
        await refresh_catch_up(platform.database)
        assert platform.database.catching_up_since is None
