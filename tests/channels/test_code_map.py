"""The code map in the database: loaded once, changed by two, kept whole; what it does not hold is noted and alerted."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import structlog

from hutong import channels, operators
from hutong.channels import ChannelState, Codes
from hutong.channels.codes import CodeEntry, Meaning, UnmappedCodes
from hutong.channels.codes.codes import COLUMNS, load_codes, read_codes
from hutong.channels.codes.unmapped import NOTED_MAX
from hutong.channels.wechat.adapter import WeChatPay
from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.errors import Conflict, InvalidParameter, Unavailable
from hutong.ids import Ids
from hutong.vault import Vault

REFUSED = Meaning("risk_refused", ChannelState.FAILED, False, "change_method", "Not now.", "暂时无法使用。")
HEADER = ",".join(COLUMNS) + "\n"


@pytest.fixture
async def world(fresh_database_url: str) -> AsyncIterator[Database]:
    async with Database.open(fresh_database_url, size=6) as database:
        yield database


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Writes the file that ships with an adapter."""
    file = tmp_path / "wechat.csv"
    file.write_text(HEADER + "pay,OLD,,bank_error,unknown,yes,query,a,b\npay,OTHER,,refused,failed,no,none,a,b\n")
    monkeypatch.setattr(WeChatPay, "code_map", file)
    return lambda lines: file.write_text(HEADER + lines)


async def people(tx: Tx, ids: Ids, clock: ManualClock) -> tuple[UUID, UUID]:
    found = []
    for role in (operators.Role.OPERATOR, operators.Role.APPROVER):
        found.append(ids.new())
        await operators.add_operator(
            tx, operator_id=found[-1], name=secrets.token_hex(8), role=role, random="r" * 43, reason="x",
            now=clock.now(),
        )  # fmt: skip
    return found[0], found[1]


async def change(database: Database, entry: CodeEntry, ids: Ids, clock: ManualClock) -> operators.Proposal:
    """Propose and approve."""
    async with database.transaction() as tx:
        maker, checker = await people(tx, ids, clock)
        made = await channels.codes.propose_code(
            tx, entry, proposal_id=ids.new(), maker_id=maker, reason="told by the channel", now=clock.now()
        )
    async with database.transaction() as tx:
        decision = operators.ApprovalDecision(made.proposal_id, checker, True, "seen")
        return await operators.conclude(
            tx, decision, {channels.codes.CHANGE: channels.codes.change_code}, now=clock.now()
        )


async def the_map(database: Database) -> dict[tuple[str, str, str], tuple[Meaning, int]]:
    async with database.transaction() as tx:
        found = await channels.codes.current_codes(tx, ["wechat"])
    return {one.entry.key[1:]: (one.entry.meaning, one.version) for one in found}


async def load(database: Database, clock: ManualClock) -> list[str]:
    async with database.transaction() as tx:
        return [name for name in await channels.codes.load_shipped(tx, now=clock.now()) if name == "wechat"]


# Loading


async def test_files_are_loaded_once_as_the_first_version(world: Database, clock: ManualClock) -> None:
    loaded = await asyncio.gather(*(load(world, clock) for _ in range(6)))
    assert sorted(loaded) == [[]] * 5 + [["wechat"]]
    found = await the_map(world)
    assert {key: meaning for key, (meaning, _) in found.items()} == load_codes(WeChatPay.code_map)
    assert {version for _, version in found.values()} == {1}


async def test_a_newer_file_adds_and_improves_and_leaves_what_operators_changed(
    world: Database, shipped: Callable[[str], object], ids: Ids, clock: ManualClock
) -> None:
    await load(world, clock)
    await change(world, CodeEntry("wechat", "pay", "OLD", "", REFUSED), ids, clock)
    shipped(
        "pay,OLD,,closed,closed,no,none,c,d\npay,OTHER,,refused,failed,no,none,better,b\n"
        "pay,NEW,,bank_error,unknown,yes,query,a,b\n"
    )
    assert await load(world, clock) == ["wechat"]
    found = await the_map(world)
    assert found["pay", "OLD", ""] == (REFUSED, 2)
    assert found["pay", "OTHER", ""][0].text_en == "better"
    assert found["pay", "NEW", ""][1] == 3
    assert await load(world, clock) == []
    shipped("")
    assert await load(world, clock) == []
    assert await the_map(world) == found  # nothing loses its meaning by an upgrade


@pytest.mark.parametrize(
    "line",
    [
        "pay,X,,Bad Word,failed,no,none,a,b", "pay,X,,unmapped,failed,no,none,a,b", "pay,X,,refused,gone,no,none,a,b",
        "pay,X,,refused,failed,maybe,none,a,b", "pay,X,,refused,failed,no,,a,b", "pay,X,,refused,failed,no,none,a",
        f"pay,{'x' * 129},,refused,failed,no,none,a,b",
    ],
)  # fmt: skip
def test_a_file_with_an_entry_that_could_not_hold_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_codes([HEADER, line])


# Changing


async def test_every_version_is_kept_with_who_and_why(world: Database, ids: Ids, clock: ManualClock) -> None:
    await load(world, clock)
    entry = CodeEntry("wechat", "pay", "NEW_CODE", "", REFUSED)
    first = await change(world, entry, ids, clock)
    clock.advance(timedelta(hours=1))
    second = await change(world, replace(entry, meaning=replace(REFUSED, retryable=True)), ids, clock)
    async with world.transaction() as tx:
        newest, oldest = await channels.codes.code_history(tx, channel="wechat", interface="pay", code="NEW_CODE")
        journal = await operators.list_audit(tx, about=("channel_code", "wechat/pay/NEW_CODE"))
    assert [newest.proposal_id, oldest.proposal_id] == [second.proposal_id, first.proposal_id]
    assert newest.entry.meaning.retryable
    assert newest.version == oldest.version + 1
    assert journal[0].entry.before == oldest.entry.document()
    assert journal[0].entry.after == newest.entry.document()
    assert journal[0].entry.actor_id == second.checker_id
    assert journal[1].entry.before is None


async def test_an_approval_of_a_step_from_another_meaning_is_refused(
    world: Database, ids: Ids, clock: ManualClock
) -> None:
    await load(world, clock)
    entry = CodeEntry("wechat", "pay", "NEW_CODE", "", REFUSED)
    async with world.transaction() as tx:
        maker, checker = await people(tx, ids, clock)
        late = await channels.codes.propose_code(
            tx, entry, proposal_id=ids.new(), maker_id=maker, reason="x", now=clock.now()
        )
    other = replace(entry, meaning=replace(REFUSED, state=ChannelState.UNKNOWN))
    await change(world, other, ids, clock)
    with pytest.raises(Conflict):
        async with world.transaction() as tx:
            decision = operators.ApprovalDecision(late.proposal_id, checker, True, "x")
            await operators.conclude(tx, decision, {channels.codes.CHANGE: channels.codes.change_code}, now=clock.now())
    assert (await the_map(world))["pay", "NEW_CODE", ""][0] == other.meaning


WRONG = [
    {"channel": "nowhere"}, {"interface": ""}, {"code": ""}, {"code": "x" * 129}, {"code": "a\0"},
    {"sub_code": "x" * 129},
    {"meaning": replace(REFUSED, unified_code="unmapped")}, {"meaning": replace(REFUSED, unified_code="No")},
    {"meaning": replace(REFUSED, action="")}, {"meaning": replace(REFUSED, text_en="x" * 501)},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
async def test_an_entry_that_could_not_hold_is_not_proposed(
    tx: Tx, ids: Ids, clock: ManualClock, wrong: dict[str, object]
) -> None:
    maker, _ = await people(tx, ids, clock)
    entry = replace(CodeEntry("wechat", "pay", "X", "", REFUSED), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter):
        await channels.codes.propose_code(tx, entry, proposal_id=ids.new(), maker_id=maker, reason="x", now=clock.now())


async def test_the_application_cannot_rewrite_a_version(tx: Tx) -> None:
    for statement in ("UPDATE channels.code SET state = 'succeeded'", "DELETE FROM channels.code"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with tx.transaction():
                await tx.execute(statement)


async def test_every_process_goes_by_a_change_within_seconds_without_a_restart(
    world: Database, ids: Ids, clock: ManualClock
) -> None:
    processes = [channels.Accounts(world, Vault([bytes(32)]), None, clock) for _ in range(2)]  # type: ignore[arg-type]
    for process in processes:
        await process.refresh()
    held = [process._codes_of("wechat") for process in processes]  # what the adapters hold
    assert [codes.find("pay", "NEW_CODE") for codes in held] == [None, None]
    await change(world, CodeEntry("wechat", "pay", "NEW_CODE", "", REFUSED), ids, clock)
    clock.advance(timedelta(seconds=5))
    for process in processes:
        await process.offers()
    assert [codes.find("pay", "NEW_CODE") for codes in held] == [REFUSED, REFUSED]
    assert held[0].find("pay", "PARAM_ERROR") is not None


# Codes that the map does not hold


def sees(unmapped: UnmappedCodes, code: str, message: str = "") -> Meaning:
    return Codes({}, unmapped.watch("wechat")).read("pay", code, "SUB", message=message)


async def test_an_unmapped_code_is_unknown_counted_and_alerted_once_between_writes(
    world: Database, clock: ManualClock
) -> None:
    unmapped = UnmappedCodes(clock)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert sees(unmapped, "ODD", "card 4111 1111 1111 1111").state is ChannelState.UNKNOWN
            clock.advance(timedelta(seconds=1))
    (alert,) = logs
    assert (alert["event"], alert["log_level"], alert["channel_code"]) == ("channel_code_unmapped", "error", "ODD")
    await unmapped.flush(world)
    sees(unmapped, "ODD", "again")
    await unmapped.flush(world)
    await unmapped.flush(world)
    async with world.transaction() as tx:
        (found,) = await channels.codes.open_unmapped(tx)
    assert (found.channel, found.interface, found.code, found.sub_code) == ("wechat", "pay", "ODD", "SUB")
    assert (found.count, found.message) == (4, "again")
    assert found.last_seen_at - found.first_seen_at == timedelta(seconds=3)


async def test_an_example_holds_nothing_secret(world: Database, clock: ManualClock) -> None:
    unmapped = UnmappedCodes(clock)
    with structlog.testing.capture_logs():
        sees(unmapped, "ODD", "card 4111 1111 1111 1111 refused\0 " + "x" * 500)
        sees(unmapped, "A" * 500 + "\0\ud800")
    await unmapped.flush(world)
    async with world.transaction() as tx:
        found = {one.code: one.message for one in await channels.codes.open_unmapped(tx)}
    assert found["ODD"].startswith("card [masked] refused x")
    assert len(found["ODD"]) == 256
    assert "A" * 128 in found


@pytest.mark.parametrize(("interface", "sub_code"), [("pay", "SUB"), ("pay", ""), ("*", "SUB"), ("*", "")])
async def test_giving_it_a_meaning_takes_a_code_off_the_list(
    world: Database, ids: Ids, clock: ManualClock, interface: str, sub_code: str
) -> None:
    await load(world, clock)
    unmapped = UnmappedCodes(clock)
    with structlog.testing.capture_logs():
        sees(unmapped, "ODD")
        sees(unmapped, "ODDER")
    await unmapped.flush(world)
    await change(world, CodeEntry("wechat", interface, "ODD", sub_code, REFUSED), ids, clock)
    async with world.transaction() as tx:
        assert [one.code for one in await channels.codes.open_unmapped(tx)] == ["ODDER"]


async def test_what_could_not_be_written_is_kept_and_bounded(world: Database, clock: ManualClock) -> None:
    class Away:
        async def run(self, work: object) -> None:
            with structlog.testing.capture_logs():
                sees(unmapped, "CODE_1")  # meanwhile
            raise Unavailable("away")

    unmapped = UnmappedCodes(clock)
    with structlog.testing.capture_logs():
        for number in range(NOTED_MAX + 50):
            sees(unmapped, f"CODE_{number}")
    with pytest.raises(Unavailable):
        await unmapped.flush(Away())  # type: ignore[arg-type]
    await unmapped.flush(world)
    async with world.transaction() as tx:
        found = {one.code: one.count for one in await channels.codes.open_unmapped(tx, limit=10_000)}
    assert len(found) == NOTED_MAX
    assert found["CODE_1"] == 2


# Coverage


def test_coverage_counts_what_the_lookup_finds(
    tmp_path: Path, shipped: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "documented.csv"
    listed.write_text("interface,code,sub_code,source\npay,OLD,ANY,x\npay,OTHER,,x\nquery,OLD,,x\n")
    monkeypatch.setattr(WeChatPay, "documented_codes", listed)
    found = channels.codes.coverage()["wechat"]
    assert (found.documented, found.mapped, found.ratio) == (3, 2, 0.6667)
    assert found.missing == (("query", "OLD", ""),)
    listed.write_text("interface,code,sub_code,source\n")
    assert channels.codes.coverage()["wechat"].ratio is None
    for wrong in ("code\n", "interface,code,sub_code,source\npay,OLD,,\n"):
        listed.write_text(wrong)
        with pytest.raises(ValueError, match=r"columns|missing"):
            channels.codes.coverage()


@pytest.mark.parametrize("channel", sorted(channels.codes.coverage()))
def test_the_map_holds_nearly_all_that_the_channel_documents(channel: str) -> None:
    measured = channels.codes.coverage()[channel]
    assert measured.ratio is None or measured.ratio >= 0.95, measured.missing
