"""Searching payment_events: what is asked for, all of it, nobody else's, and pages that hold still."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hutong import search
from hutong.clock import ManualClock
from hutong.db import Database, Tx, migrate
from hutong.errors import InvalidParameter, NotFound
from hutong.search import RecordQuery, RecordStatus
from hutong.search.errors import SearchTooWide
from hutong.search.search import SEARCH_LIMIT_MS, search_parameters
from hutong.search.statements import sql
from support import create_database
from support.fixtures.payment_records import PaymentEvents, apply, find_records, open_database

SUBJECTS = ["糖醋排骨 两份", "红烧排骨", "ＡＢＣ Coffee 咖啡", "abc tea", "退款测试订单", "50% off_sale"]


async def subjects(tx: Tx, payment_events: PaymentEvents, text: str) -> list[str]:
    return sorted(
        record.subject for record in await find_records(tx, merchant_id=payment_events.merchant_id, text=text)
    )


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
async def test_any_part_of_a_subject_is_found(
    tx: Tx, payment_events: PaymentEvents, text: str, expected: list[str]
) -> None:
    await apply(tx, *(payment_events.payment(subject=subject) for subject in SUBJECTS))
    assert await subjects(tx, payment_events, text) == sorted(expected)


@pytest.mark.parametrize("field", ["text", "counterparty"])
async def test_a_blank_term_is_refused_by_the_field_s_name(tx: Tx, field: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await find_records(tx, **{field: " 　"})
    assert refused.value.param == ("q" if field == "text" else field)


async def test_each_filter_finds_what_it_says(tx: Tx, payment_events: PaymentEvents) -> None:
    start = payment_events.clock.now()
    one = payment_events.payment(amount_minor=100, customer={"id": "u1", "name": "王小明", "avatar": None})
    payment_events.clock.advance(timedelta(hours=1))
    two = payment_events.payment(
        amount_minor=200, status="closed", attempts=[], customer={"id": "u2", "name": None, "avatar": None}
    )
    payment_events.clock.advance(timedelta(hours=1))
    three = payment_events.payment(amount_minor=300, currency="USD")
    await apply(tx, one, two, three)
    orders = {event.object_id: name for event, name in ((one, "one"), (two, "two"), (three, "three"))}

    async def names(**wanted: Any) -> list[str]:
        shown = await find_records(tx, merchant_id=payment_events.merchant_id, **wanted)
        return [orders[record.payment_id] for record in shown]

    record = (await find_records(tx, merchant_id=payment_events.merchant_id))[0]
    assert await names() == ["three", "two", "one"]
    assert await names(begin=start + timedelta(hours=1)) == ["three", "two"]
    assert await names(end=start + timedelta(hours=1)) == ["one"]
    assert await names(begin=record.created_at) == ["three"]
    assert await names(end=record.created_at) == ["two", "one"]
    assert await names(status=RecordStatus.CLOSED) == ["two"]
    assert await names(amount_min=200) == ["three", "two"]
    assert await names(amount_max=200) == ["two", "one"]
    assert await names(currency="USD") == ["three"]
    assert await names(merchant_order_no=record.merchant_order_no) == ["three"]
    assert await names(customer_id="u2") == ["two"]
    assert await names(counterparty="小明") == ["one"]
    assert await names(counterparty="u1") == ["one"]
    assert await names(counterparty="u2") == ["two"]
    assert await names(counterparty="明小") == []


async def test_a_merchant_sees_its_own_alone_and_an_operator_all(tx: Tx, payment_events: PaymentEvents) -> None:
    other = payment_events.ids.new()
    customer = {"id": f"payer-{other}", "name": "同一个人", "avatar": "v"}
    mine = payment_events.payment(customer=customer)
    theirs = payment_events.payment(merchant_id=other, customer=customer | {"name": "别名"})
    await apply(tx, mine, theirs)
    for wanted in ({}, {"text": "排骨"}, {"customer_id": customer["id"]}, {"counterparty": customer["id"]}):
        (record,) = await find_records(tx, merchant_id=payment_events.merchant_id, **wanted)
        assert (record.payment_id, record.customer_name) == (mine.object_id, "同一个人")
    assert await find_records(tx, merchant_id=payment_events.merchant_id, counterparty="别名") == []
    with pytest.raises(NotFound):
        await search.find_record(tx, theirs.object_id, merchant_id=payment_events.merchant_id)
    assert (await search.find_record(tx, theirs.object_id)).payment_id == theirs.object_id
    assert len(await find_records(tx, customer_id=customer["id"])) == 2


async def test_pages_hold_still_while_records_are_added(tx: Tx, payment_events: PaymentEvents) -> None:
    late = payment_events.payment()  # an old payment whose record appears while somebody is turning the pages
    recorded = [payment_events.payment() for _ in range(25)]
    await apply(tx, *recorded)
    wanted = RecordQuery(merchant_id=payment_events.merchant_id)
    seen: list[Any] = []
    cursor = None
    while True:
        page = await search.search_records(tx, wanted, limit=7, cursor=cursor)
        seen += [record.payment_id for record in page.records]
        if len(seen) == 14:
            await apply(tx, payment_events.payment(), payment_events.payment(), late)
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == [event.object_id for event in reversed(recorded)] + [late.object_id]


async def test_a_cursor_of_another_search_or_of_none_is_refused(tx: Tx, payment_events: PaymentEvents) -> None:
    await apply(tx, *(payment_events.payment() for _ in range(3)))
    page = await search.search_records(tx, RecordQuery(merchant_id=payment_events.merchant_id), limit=1)
    assert page.next_cursor is not None
    other = RecordQuery(merchant_id=payment_events.merchant_id, status=RecordStatus.CLOSED)
    for cursor, wanted in [
        (page.next_cursor, other),
        (page.next_cursor, RecordQuery(merchant_id=payment_events.ids.new())),
        (page.next_cursor[:-2], RecordQuery(merchant_id=payment_events.merchant_id)),
        ("x", other),
        ("é", other),
        ("", other),
    ]:
        with pytest.raises(InvalidParameter) as refused:
            await search.search_records(tx, wanted, limit=1, cursor=cursor)
        assert refused.value.param == "cursor"


async def test_a_search_that_takes_too_long_is_given_up(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["hutong.search.search"], "SEARCH_LIMIT_MS", 50)
    async with open_database(fresh_database_url) as database, open_database(fresh_database_url, role=None) as owner:
        holding = owner.transaction()
        tx = await holding.__aenter__()
        await tx.execute("LOCK TABLE search.payment_record IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SearchTooWide) as refused:
            async with database.transaction() as searching:
                await search.search_records(searching, RecordQuery(), limit=1)
        assert refused.value.param == "from"
        await holding.__aexit__(None, None, None)


async def test_a_name_that_fits_very_many_is_refused(crowded: Database) -> None:
    with pytest.raises(SearchTooWide) as refused:
        async with crowded.transaction() as tx:
            await find_records(tx, counterparty="顾客")
    assert refused.value.param == "counterparty"


async def test_a_name_finds_the_customers_of_each_merchant_by_themselves(tx: Tx, payment_events: PaymentEvents) -> None:
    other, mark = payment_events.ids.new(), str(payment_events.merchant_id)[-12:]
    mine = payment_events.payment(customer={"id": "same-id", "name": f"赵{mark}", "avatar": None})
    theirs = payment_events.payment(merchant_id=other, customer={"id": "same-id", "name": f"钱{mark}", "avatar": None})
    await apply(tx, mine, theirs)
    assert [record.payment_id for record in await find_records(tx, counterparty=f"赵{mark}")] == [mine.object_id]
    assert [record.payment_id for record in await find_records(tx, counterparty=f"钱{mark}")] == [theirs.object_id]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RecordQuery(merchant_id=UUID(int=7)), "payment_record_merchant"),
        (RecordQuery(merchant_order_no="order-77"), "payment_record_order"),
        (RecordQuery(customer_id="u77"), "payment_record_customer"),
        (RecordQuery(text="第777号"), "payment_record_grams"),
        (RecordQuery(merchant_id=UUID(int=7), counterparty="顾客77"), "payment_record_customer"),
        (RecordQuery(), "payment_record_time"),
    ],
    ids=["merchant", "order", "customer", "text", "counterparty", "all"],
)
async def test_each_search_goes_by_an_index(crowded: Database, wanted: RecordQuery, index: str) -> None:
    async with crowded.transaction() as tx:
        await sql.limit_search.execute(tx, str(SEARCH_LIMIT_MS))
        values = sql.search_records.values(**await search_parameters(tx, wanted, 20, None))
        plan = "\n".join(row[0] for row in await tx.fetch(f"EXPLAIN {sql.search_records.text}", *values))
    assert f"on {index}" in plan or f"using {index}" in plan, plan
    assert "Seq Scan on payment_record" not in plan


@pytest.fixture(scope="module")
async def crowded(server_url: str) -> AsyncIterator[Database]:
    """A store with 20,000 records of a hundred merchants."""
    url = create_database(server_url)
    await asyncio.to_thread(migrate, url)
    clock = ManualClock()
    payment_events = PaymentEvents(clock)
    async with open_database(url, role=None) as database:
        for begin in range(0, 20_000, 1_000):
            recorded = [
                payment_events.payment(
                    merchant_id=UUID(int=number % 100),
                    merchant_order_no=f"order-{number}",
                    subject=f"第{number}号订单",
                    customer={"id": f"u{number}", "name": f"顾客{number}", "avatar": None},
                )
                for number in range(begin, begin + 1_000)
            ]
            async with database.transaction() as tx:
                await apply(tx, *recorded)
        async with database.transaction() as tx:
            await tx.execute("ANALYZE search.payment_record, search.profile")
        yield database
