"""Searching bills: what is asked for, all of it, nobody else's, and pages that hold still."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hutong import search as query
from hutong.clock import ManualClock
from hutong.db import Database, Tx, migrate
from hutong.errors import InvalidParameter
from hutong.search import RecordQuery, RecordStatus
from support import create_database
from support.fixtures.payment_records import Bills, found, opened, put

SUBJECTS = ["糖醋排骨 两份", "红烧排骨", "ＡＢＣ Coffee 咖啡", "abc tea", "退款测试订单", "50% off_sale"]


async def subjects(tx: Tx, bills: Bills, text: str) -> list[str]:
    return sorted(bill.subject for bill in await found(tx, merchant_id=bills.merchant_id, text=text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("排骨", ["红烧排骨", "糖醋排骨 两份"]),
        ("糖醋", ["糖醋排骨 两份"]),
        ("骨", ["红烧排骨", "糖醋排骨 两份"]),
        ("排骨 糖醋", ["糖醋排骨 两份"]),
        ("骨排", []),
        ("醋骨", []),
        ("ABC", ["abc tea", "ＡＢＣ Coffee 咖啡"]),
        ("ｃｏｆｆｅｅ", ["ＡＢＣ Coffee 咖啡"]),
        ("咖啡", ["ＡＢＣ Coffee 咖啡"]),
        ("测试订", ["退款测试订单"]),
        ("t", ["abc tea"]),
        ("%", ["50% off_sale"]),
        ("f_s", ["50% off_sale"]),
        ("x_s", []),
    ],
)
async def test_any_part_of_a_subject_is_found(tx: Tx, bills: Bills, text: str, expected: list[str]) -> None:
    await put(tx, *(bills.payment(subject=subject) for subject in SUBJECTS))
    assert await subjects(tx, bills, text) == sorted(expected)


@pytest.mark.parametrize("field", ["text", "counterparty"])
async def test_looking_for_nothing_is_refused_by_the_field_s_name(tx: Tx, field: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await found(tx, **{field: " 　"})
    assert refused.value.param == ("q" if field == "text" else field)


async def test_each_filter_finds_what_it_says(tx: Tx, bills: Bills) -> None:
    start = bills.clock.now()
    one = bills.payment(amount_minor=100, customer={"id": "u1", "name": "王小明", "avatar": None})
    bills.clock.advance(timedelta(hours=1))
    two = bills.payment(
        amount_minor=200, status="closed", attempts=[], customer={"id": "u2", "name": None, "avatar": None}
    )
    bills.clock.advance(timedelta(hours=1))
    three = bills.payment(amount_minor=300, currency="USD")
    await put(tx, one, two, three)
    orders = {event.object_id: name for event, name in ((one, "one"), (two, "two"), (three, "three"))}

    async def names(**wanted: Any) -> list[str]:
        shown = await found(tx, merchant_id=bills.merchant_id, **wanted)
        return [orders[bill.payment_id] for bill in shown]

    bill = (await found(tx, merchant_id=bills.merchant_id))[0]
    assert await names() == ["three", "two", "one"]
    assert await names(begin=start + timedelta(hours=1)) == ["three", "two"]
    assert await names(end=start + timedelta(hours=1)) == ["one"]
    assert await names(begin=bill.created_at) == ["three"]
    assert await names(end=bill.created_at) == ["two", "one"]
    assert await names(status=RecordStatus.CLOSED) == ["two"]
    assert await names(amount_min=200) == ["three", "two"]
    assert await names(amount_max=200) == ["two", "one"]
    assert await names(currency="USD") == ["three"]
    assert await names(merchant_order_no=bill.merchant_order_no) == ["three"]
    assert await names(customer_id="u2") == ["two"]
    assert await names(counterparty="小明") == ["one"]
    assert await names(counterparty="u1") == ["one"]
    assert await names(counterparty="u2") == ["two"]
    assert await names(counterparty="明小") == []


async def test_a_merchant_sees_its_own_alone_and_an_operator_all(tx: Tx, bills: Bills) -> None:
    other = bills.ids.new()
    customer = {"id": f"payer-{other}", "name": "同一个人", "avatar": "v"}
    mine = bills.payment(customer=customer)
    theirs = bills.payment(merchant_id=other, customer=customer | {"name": "别名"})
    await put(tx, mine, theirs)
    for wanted in ({}, {"text": "排骨"}, {"customer_id": customer["id"]}, {"counterparty": customer["id"]}):
        (bill,) = await found(tx, merchant_id=bills.merchant_id, **wanted)
        assert (bill.payment_id, bill.customer_name) == (mine.object_id, "同一个人")
    assert await found(tx, merchant_id=bills.merchant_id, counterparty="别名") == []
    assert await query.find_record(tx, theirs.object_id, merchant_id=bills.merchant_id) is None
    assert await query.find_record(tx, theirs.object_id) is not None
    assert len(await found(tx, customer_id=customer["id"])) == 2


async def test_pages_hold_still_while_bills_are_added(tx: Tx, bills: Bills) -> None:
    late = bills.payment()  # an old payment whose bill comes while somebody is turning the pages
    told = [bills.payment() for _ in range(25)]
    await put(tx, *told)
    wanted = RecordQuery(merchant_id=bills.merchant_id)
    seen: list[Any] = []
    cursor = None
    while True:
        page = await query.search(tx, wanted, limit=7, cursor=cursor)
        seen += [bill.payment_id for bill in page.bills]
        if len(seen) == 14:
            await put(tx, bills.payment(), bills.payment(), late)
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == [event.object_id for event in reversed(told)] + [late.object_id]


async def test_a_cursor_of_another_search_or_of_none_is_refused(tx: Tx, bills: Bills) -> None:
    await put(tx, *(bills.payment() for _ in range(3)))
    page = await query.search(tx, RecordQuery(merchant_id=bills.merchant_id), limit=1)
    assert page.next_cursor is not None
    other = RecordQuery(merchant_id=bills.merchant_id, status=RecordStatus.CLOSED)
    for cursor, wanted in [
        (page.next_cursor, other),
        (page.next_cursor, RecordQuery(merchant_id=bills.ids.new())),
        (page.next_cursor[:-2], RecordQuery(merchant_id=bills.merchant_id)),
        ("x", other),
        ("é", other),
        ("", other),
    ]:
        with pytest.raises(InvalidParameter) as refused:
            await query.search(tx, wanted, limit=1, cursor=cursor)
        assert refused.value.param == "cursor"


async def test_a_search_that_takes_too_long_is_given_up(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["hutong.search.search"], "SEARCH_LIMIT_MS", 50)
    async with opened(fresh_database_url) as database, opened(fresh_database_url, role=None) as owner:
        holding = owner.transaction()
        tx = await holding.__aenter__()
        await tx.execute("LOCK TABLE query.bill IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(query.SearchTooWide) as refused:
            async with database.transaction() as searching:
                await query.search(searching, RecordQuery(), limit=1)
        assert refused.value.param == "from"
        await holding.__aexit__(None, None, None)


async def test_a_name_that_fits_very_many_is_refused(crowded: Database) -> None:
    with pytest.raises(query.SearchTooWide) as refused:
        async with crowded.transaction() as tx:
            await found(tx, counterparty="顾客")
    assert refused.value.param == "counterparty"


async def test_a_name_finds_the_customers_of_each_merchant_by_themselves(tx: Tx, bills: Bills) -> None:
    other, mark = bills.ids.new(), str(bills.merchant_id)[-12:]
    mine = bills.payment(customer={"id": "same-id", "name": f"赵{mark}", "avatar": None})
    theirs = bills.payment(merchant_id=other, customer={"id": "same-id", "name": f"钱{mark}", "avatar": None})
    await put(tx, mine, theirs)
    assert [bill.payment_id for bill in await found(tx, counterparty=f"赵{mark}")] == [mine.object_id]
    assert [bill.payment_id for bill in await found(tx, counterparty=f"钱{mark}")] == [theirs.object_id]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RecordQuery(merchant_id=UUID(int=7)), "bill_merchant"),
        (RecordQuery(merchant_order_no="order-77"), "bill_order"),
        (RecordQuery(customer_id="u77"), "bill_customer"),
        (RecordQuery(text="第777号"), "bill_grams"),
        (RecordQuery(merchant_id=UUID(int=7), counterparty="顾客77"), "bill_customer"),
        (RecordQuery(), "bill_time"),
    ],
    ids=["merchant", "order", "customer", "text", "counterparty", "all"],
)
async def test_each_search_goes_by_an_index(crowded: Database, wanted: RecordQuery, index: str) -> None:
    async with crowded.transaction() as tx:
        plan = await query.search_plan(tx, wanted)
    assert f"on {index}" in plan or f"using {index}" in plan, plan
    assert "Seq Scan on bill" not in plan


@pytest.fixture(scope="module")
async def crowded(server_url: str) -> AsyncIterator[Database]:
    """A store with 20,000 bills of a hundred merchants."""
    url = create_database(server_url)
    await asyncio.to_thread(migrate, url)
    clock = ManualClock()
    bills = Bills(clock)
    async with opened(url, role=None) as database:
        for begin in range(0, 20_000, 1_000):
            told = [
                bills.payment(
                    merchant_id=UUID(int=number % 100),
                    merchant_order_no=f"order-{number}",
                    subject=f"第{number}号订单",
                    customer={"id": f"u{number}", "name": f"顾客{number}", "avatar": None},
                )
                for number in range(begin, begin + 1_000)
            ]
            async with database.transaction() as tx:
                await put(tx, *told)
        async with database.transaction() as tx:
            await tx.execute("ANALYZE query.bill, query.profile")
        yield database
