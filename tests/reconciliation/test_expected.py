"""Our side of a day is the journal's: every booking on the channel's receivable is in some row, once."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hutong import ledger
from hutong.channels import BillRule, ChannelAnswer, ChannelState
from hutong.channels.disputes import DisputeState
from hutong.clock import ManualClock
from hutong.db import Database, migrate
from hutong.errors import ConfigurationError, Conflict, InvariantBroken
from hutong.ids import encode
from hutong.payments import Payment
from hutong.payments.refunds.payee import seal_payee
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.duck import create_table
from hutong.reconciliation.expected import export_sides, journal, known_states, read_windows, window_of, write_known
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.model import DayWindow, RowKind
from hutong.reconciliation.rows import ROW_COLUMNS
from hutong.routing.configuration.price import Price, Tier
from payments.refunds.test_refund_sums import ORDERED, PAID, SETTLED, SUMS
from support import create_database
from support.fixtures.disputes import DisputeWorld
from support.fixtures.payments import AMOUNT
from support.platform import VAULT

FAILED, SUCCEEDED = ChannelAnswer(ChannelState.FAILED), ChannelAnswer(ChannelState.SUCCEEDED)
WINDOW = DayWindow(timedelta(hours=8), cut=timedelta(hours=-1))
_weeks = itertools.count()


def open_court(database: Database) -> DisputeWorld:
    """A world that begins half an hour before a cut, weeks after the one before: a ledger's time never goes back."""
    start = datetime(2026, 3, 2, 14, 30, tzinfo=UTC) + timedelta(weeks=next(_weeks))
    return DisputeWorld(database, ManualClock(start))


def first_day(court: DisputeWorld) -> date:
    return WINDOW.day_of(court.clock.now())


@pytest.fixture(scope="module")
async def day_database(server_url: str) -> AsyncIterator[Database]:
    """A database of their own: worlds here begin on one day."""
    url = create_database(server_url)
    migrate(url)
    async with Database.open(url, size=8) as opened:
        yield opened


@pytest.fixture
async def court(day_database: Database) -> AsyncIterator[DisputeWorld]:
    made = open_court(day_database)
    await made.quiet()
    yield made
    await made.lifecycle.stop()


def rows_of(folder: RunFolder, source: SideSource) -> list[dict[str, Any]]:
    found = duckdb.sql(f"FROM read_parquet('{folder.rows(source)}')")
    assert found.columns == list(ROW_COLUMNS)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


async def exported(
    court: DisputeWorld, root: Path, day: date | None = None, *, window: DayWindow = WINDOW, again: bool = False
) -> RunFolder:
    day = day or first_day(court)
    folder = RunFolder(root, encode("acc", court.account_id), day)
    now = max(court.clock.now(), window.complete_at(day))
    await export_sides(court.database, folder, court.account_id, window, day, now, again=again)
    return folder


def net(rows: list[dict[str, Any]]) -> int:
    """What the rows have moved: only the fees of disputes are booked with them."""
    return sum(row["settled"] - ((row["fee"] or 0) if row["kind"] == "dispute" else 0) for row in rows)


def shown(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


async def coupon(court: DisputeWorld, **changed: Any) -> Payment:
    payment = await court.payment(amount_minor=ORDERED, **changed)
    await court.record(court.report(payment.attempts[0], ChannelState.SUCCEEDED, amount_minor=ORDERED, sums=SUMS))
    return await court.again(payment)


async def surplus(court: DisputeWorld) -> Payment:
    payment = await court.payment()
    await court.close(payment)
    attempt = payment.attempts[0]
    await court.record(court.report(attempt, ChannelState.CLOSED), court.report(attempt, ChannelState.SUCCEEDED))
    return await court.again(payment)


async def by_payout(court: DisputeWorld, payment: Payment) -> None:
    """A refund succeeds, fails later, and is sent as a payout."""
    await court.refund(payment, 300)
    refund = (await court.refunds(payment))[-1]
    court.channel.outcomes[refund.number] = FAILED
    court.clock.advance(timedelta(seconds=1))
    await court.notify(court.channel.refund_notice(refund.number))
    payee = seal_payee(VAULT, refund.refund_id, {"identity": "p@example.com"})
    await court.convert(
        (await court.refunds(payment))[-1], "payout", payout_account_id=court.account_id, payee_sealed=payee
    )
    await court.sweep(timedelta(seconds=1))


async def reversed_by_hand(court: DisputeWorld, payment: Payment) -> None:
    async with court.database.transaction() as tx:
        taken = await tx.fetchval(
            "SELECT id FROM ledger.transfer WHERE user_data_128 = $1 AND code = 4 AND flags & 2 = 0 "
            "AND credit_account_id = $2 LIMIT 1",
            payment.payment_id,
            court.ledger_account(1101),
        )
        if taken is not None:
            await ledger.reverse(tx, [taken.int], reason="test", by="ops", new_id=court.ids.new, now=court.clock.now())


async def late(court: DisputeWorld, payment: Payment) -> None:
    """A refund fails and then turns out to have gone out."""
    court.channel.verdicts = [FAILED]
    await court.refund(payment, 200)
    refund = (await court.refunds(payment))[-1]
    court.clock.advance(timedelta(seconds=1))
    court.channel.outcomes[refund.number] = SUCCEEDED
    await court.notify(court.channel.refund_notice(refund.number))


async def dispute(court: DisputeWorld, payment: Payment) -> None:
    found = await court.disputed(payment, taken_minor=400, fee_minor=15)
    if court.ids.new().int % 2:
        await court.changes(found, state=DisputeState.WON, taken_minor=0, fee_minor=5)


async def test_a_payment_is_one_row_with_what_was_ordered_paid_and_will_settle(
    court: DisputeWorld, tmp_path: Path
) -> None:
    payment = await coupon(court)
    folder = await exported(court, tmp_path)
    (row,) = rows_of(folder, SideSource.JOURNAL)
    assert shown([row], "kind", "key", "ordered", "paid", "settled", "fee", "state", "reference", "day", "line") == [
        (
            "payment", encode("att", payment.attempts[0].attempt_id), ORDERED, PAID, SETTLED, None, "succeeded",
            encode("pay", payment.payment_id), first_day(court), 1,
        )
    ]  # fmt: skip
    assert row["channel_no"] == payment.attempts[0].channel_order_no
    assert row["merchant"] == encode("mer", court.merchant_id)
    for source in (SideSource.ORDERS, SideSource.PAYMENTS):
        assert shown(rows_of(folder, source), "key", "ordered", "settled") == [(row["key"], ORDERED, SETTLED)]


async def test_a_refund_that_fails_later_is_a_row_of_each_day_and_its_payout_one_of_its_own(
    court: DisputeWorld, tmp_path: Path
) -> None:
    payment = await court.paid()
    await by_payout(court, payment)
    (refund,) = await court.refunds(payment)
    folder = await exported(court, tmp_path)
    rows = rows_of(folder, SideSource.JOURNAL)
    number = encode("ref", refund.refund_id)
    assert sorted(shown(rows, "kind", "key", "settled")) == [
        ("payment", encode("att", payment.attempts[0].attempt_id), AMOUNT),
        ("payout", encode("rpo", refund.refund_id), -300),
        ("refund", number, -300),
        ("refund_failure", number, 300),
    ]
    assert {row["original_key"] for row in rows if row["kind"] != "payment"} == {
        encode("att", payment.attempts[0].attempt_id)
    }


async def test_a_portal_refund_and_a_dispute_have_the_channels_numbers(court: DisputeWorld, tmp_path: Path) -> None:
    payment = await court.paid()
    await court.deliver(court.channel.give_back_in_portal(payment, 700))
    found = await court.disputed(payment, taken_minor=400, fee_minor=15)
    (refund,) = await court.refunds(payment)
    rows = rows_of(await exported(court, tmp_path), SideSource.JOURNAL)
    assert sorted(shown(rows, "kind", "key", "settled", "fee"))[:1] == [("dispute", found.dispute_no, -400, 15)]
    assert ("refund", refund.portal_no, -700, None) in shown(rows, "kind", "key", "settled", "fee")


async def test_an_order_counts_late_refunds_as_far_as_it_had_room(court: DisputeWorld, tmp_path: Path) -> None:
    payment = await court.paid()
    court.channel.verdicts = [FAILED]
    for _ in range(2):
        await court.refund(payment, AMOUNT)
        court.clock.advance(timedelta(seconds=1))
    (first, second) = await court.refunds(payment)
    assert (first.state.value, second.state.value) == ("failed", "succeeded")
    court.channel.outcomes[first.number] = SUCCEEDED
    await court.notify(court.channel.refund_notice(first.number))
    folder = await exported(court, tmp_path)
    for source in (SideSource.ORDERS, SideSource.PAYMENTS):
        counted = [row for row in rows_of(folder, source) if row["kind"] == "other"]
        assert shown(counted, "key", "settled") == [(encode("pay", payment.payment_id), -AMOUNT)], source


async def test_a_refund_that_fails_days_later_has_gone_out_on_its_own_day(court: DisputeWorld, tmp_path: Path) -> None:
    payment, day = await court.paid(), first_day(court)
    await court.refund(payment, 300)
    (refund,) = await court.refunds(payment)
    court.clock.advance(timedelta(days=2))
    court.channel.outcomes[refund.number] = FAILED
    await court.notify(court.channel.refund_notice(refund.number))
    rows = rows_of(await exported(court, tmp_path, day), SideSource.ORDERS)
    assert ("refund", encode("ref", refund.refund_id), -300) in shown(rows, "kind", "key", "settled")


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: each example takes a second, and the steps that failed are printed."""
STEPS = st.lists(
    st.sampled_from(
        ["pay", "coupon", "surplus", "refund", "portal", "payout", "late", "dispute", "undo", "manual", "hour"]
    ),
    min_size=1,
    max_size=7,
)


@given(steps=STEPS)
@settings(
    max_examples=5,
    deadline=None,
    phases=PHASES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_the_rows_of_all_days_are_what_the_receivable_has_moved_by(
    day_database: Database, tmp_path: Path, steps: list[str]
) -> None:
    court = open_court(day_database)
    await court.quiet()
    first = first_day(court)
    payment = await coupon(court, fee_ppm=6_000)
    await run(court, payment, steps)
    await court.lifecycle.stop()
    root = tmp_path / str(court.account_id)
    rows: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    for days in range(4):
        day = first + timedelta(days=days)
        folder = await exported(court, root, day)
        rows += [row for row in rows_of(folder, SideSource.JOURNAL) if row["day"] == day]
        orders += [row for row in rows_of(folder, SideSource.ORDERS) if row["day"] == day]
        agree(rows_of(folder, SideSource.ORDERS), rows_of(folder, SideSource.PAYMENTS))
    assert net(rows) == -(await court.balances())[1101][0]
    assert all(row["key"] and row["merchant"] for row in rows if row["kind"] != "other")
    kinds = (RowKind.PAYMENT, RowKind.REFUND, RowKind.PAYOUT)
    assert sums(rows, *kinds) == sums(orders, *kinds), " ".join(steps)


def agree(orders: list[dict[str, Any]], attempts: list[dict[str, Any]]) -> None:
    of_both = [
        Counter(shown([row for row in rows if row["kind"] in ("payment", "other")], "key", "state", "ordered"))
        for rows in (orders, attempts)
    ]
    assert of_both[0] == of_both[1]


def sums(rows: list[dict[str, Any]], *kinds: RowKind) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if row["kind"] in kinds:
            found[row["kind"], row["key"]] += row["settled"]
    return dict(found)


async def run(court: DisputeWorld, payment: Payment, steps: list[str]) -> None:  # noqa: C901, PLR0912
    for step in steps:
        court.clock.advance(timedelta(seconds=7))
        payment = await court.again(payment)
        if step == "pay":
            payment = await court.paid(fee_ppm=6_000)
        elif step == "coupon":
            payment = await coupon(court)
        elif step == "surplus":
            await surplus(court)
            await court.sweep()
        elif step == "hour":
            court.clock.advance(timedelta(hours=9))
        elif payment.refundable_minor < 1_000:
            continue
        elif step == "refund":
            await court.refund(payment, 250, returns_fee=True)
        elif step == "portal":
            await court.deliver(court.channel.give_back_in_portal(payment, 120))
        elif step == "payout":
            await by_payout(court, payment)
        elif step == "late":
            await late(court, payment)
        elif step == "dispute":
            await dispute(court, payment)
        elif step == "undo":
            await reversed_by_hand(court, payment)
        elif step == "manual":
            court.channel.verdicts = [FAILED]
            await court.refund(payment, 90)
            refund = (await court.refunds(payment))[-1]
            await court.convert(refund, "manual")
            await court.settle(refund, "desk 1", from_bank=bool(len(steps) % 2))


async def test_a_row_of_the_margin_is_of_its_own_day_and_is_on_both_days(court: DisputeWorld, tmp_path: Path) -> None:
    day = first_day(court)
    await court.paid()
    court.clock.advance(timedelta(minutes=35))  # five minutes after the cut
    await court.paid()
    court.clock.advance(timedelta(minutes=6))  # beyond the margin
    await court.paid()
    first = rows_of(await exported(court, tmp_path, day), SideSource.JOURNAL)
    second = rows_of(await exported(court, tmp_path, day + timedelta(days=1)), SideSource.JOURNAL)
    assert [row["day"] for row in first] == [day, day + timedelta(days=1)]
    assert [row["key"] for row in second] == [first[1]["key"], second[1]["key"]]


async def test_the_rows_of_a_day_are_written_once_after_it_is_over(court: DisputeWorld, tmp_path: Path) -> None:
    await court.paid()
    day, folder = first_day(court), RunFolder(tmp_path, encode("acc", court.account_id), first_day(court))
    complete_at = WINDOW.complete_at(day)
    with pytest.raises(Conflict, match="is not over"):
        await export_sides(
            court.database, folder, court.account_id, WINDOW, day, complete_at - timedelta(microseconds=1)
        )
    await exported(court, tmp_path, day)
    before = {path.name: path.read_bytes() for path in (folder.path / "rows").iterdir()}
    assert sorted(before) == ["journal.parquet", "orders.parquet", "payments.parquet"]
    await court.paid()
    await exported(court, tmp_path, day)
    assert {path.name: path.read_bytes() for path in (folder.path / "rows").iterdir()} == before
    await exported(court, tmp_path, day, again=True)
    assert len(rows_of(folder, SideSource.JOURNAL)) == 2


async def test_a_booking_that_no_row_holds_stops_the_export(
    court: DisputeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await court.paid()
    await court.paid()
    stream = journal.reports.stream_movements

    async def lossy(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
        found = [movement async for movement in stream(*arguments, **options)]
        for movement in found[1:]:
            yield movement

    monkeypatch.setattr(journal.reports, "stream_movements", lossy)
    with pytest.raises(InvariantBroken, match="receivable"):
        await exported(court, tmp_path)
    folder = RunFolder(tmp_path, encode("acc", court.account_id), first_day(court))
    assert list((folder.path / "rows").iterdir()) == []


async def test_what_a_bill_names_and_is_not_booked_is_known_with_its_state(court: DisputeWorld, tmp_path: Path) -> None:
    open_payment, closed, paid = await court.payment(), await court.payment(), await court.paid()
    await court.record(court.report(closed.attempts[0], ChannelState.FAILED))
    court.channel.verdicts = [ChannelAnswer(ChannelState.PENDING)]
    await court.refund(paid, 300)
    (refund,) = await court.refunds(paid)
    folder = await exported(court, tmp_path)
    keys = [encode("att", payment.attempts[0].attempt_id) for payment in (open_payment, closed, paid)]
    bill = [*keys, refund.number, "att_00000000000000000000000000", "4200001", ""]
    with duckdb.connect() as duck:
        duck.execute(create_table("bill"))
        duck.executemany("INSERT INTO bill (key) VALUES (?)", [[key] for key in bill])
        duck.execute(f"COPY bill TO '{folder.rows(SideSource.BILL)}' (FORMAT parquet)")
    path = await write_known(court.database, folder, court.account_id, at=court.clock.now(), limits=Limits(256))
    found = duckdb.sql(f"SELECT kind, key, state, settled, reference FROM read_parquet('{path}')").fetchall()
    assert sorted(found) == sorted(
        [
            ("payment", keys[0], "pending", AMOUNT, encode("pay", open_payment.payment_id)),
            ("payment", keys[1], "failed", AMOUNT, encode("pay", closed.payment_id)),
            ("refund", refund.number, "pending", -300, encode("ref", refund.refund_id)),
        ]
    )
    async with court.database.transaction() as tx:
        stranger = court.ids.new()
        assert await known_states(tx, keys, account_id=stranger, day=folder.day, at=court.clock.now()) == []


def test_windows_are_those_of_the_channels_bills_unless_they_are_set() -> None:
    rule = BillRule(("trade",), "x", 9, timedelta(hours=8), timedelta(days=30), timedelta(hours=-1))
    assert window_of("unionpay", "acc_1", rule) == DayWindow(timedelta(hours=8), timedelta(hours=-1))
    assert window_of("none", "acc_1", None) == DayWindow(timedelta(hours=8))
    settings = read_windows(
        {
            "unionpay": {"cut_minutes": -30, "margin_minutes": 5},
            "acc_2": {"rolls": 3, "utc_offset_minutes": 0, "weekends": False, "holidays": ["2026-10-02", "2026-10-01"]},
        }
    )
    assert window_of("unionpay", "acc_1", rule, settings) == DayWindow(
        timedelta(hours=8), timedelta(minutes=-30), margin=timedelta(minutes=5)
    )
    assert window_of("unionpay", "acc_2", rule, settings) == DayWindow(
        timedelta(0),
        timedelta(hours=-1),
        rolls=3,
        weekends=False,
        holidays=(date(2026, 10, 1), date(2026, 10, 2)),
    )
    with pytest.raises(ConfigurationError, match="`rolls`"):
        read_windows({"unionpay": {"rolls": 32}})
    with pytest.raises(ConfigurationError, match="`period_minutes`"):
        read_windows({"unionpay": {"period_minutes": 60}})
    window = window_of("unionpay", "acc_1", rule)
    at_cut = datetime(2026, 3, 2, 15, tzinfo=UTC)
    assert window.begin_of(date(2026, 3, 3)) == at_cut
    assert window.day_of(at_cut) == date(2026, 3, 3)
    assert window.day_of(at_cut - timedelta(microseconds=1)) == date(2026, 3, 2)


def test_the_expected_fee_is_that_of_a_price_that_is_known_for_each_payment() -> None:
    flat = Price((Tier(0, 6_000, 10),), min_minor=20)
    assert [flat.expected_fee_minor(amount) for amount in (100, 10_000, -10_000, 10_083, 10_084)] == [
        20,
        70,
        -70,
        70,
        71,
    ]
    assert Price((Tier(0, 6_000), Tier(10, 5_000))).expected_fee_minor(100) is None
    assert Price((Tier(0, 6_000),), subsidy_ppm=1).expected_fee_minor(100) is None
