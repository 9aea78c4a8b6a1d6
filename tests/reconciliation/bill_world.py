"""A channel account whose bills are in UnionPay's layout, which has no totals: any part of one is a bill too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from hutong import ids
from hutong.channels import Bill, BillRule, BillState
from hutong.channels.bill import BillIdentity
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import ConfigurationError
from hutong.ids import Ids
from hutong.reconciliation import Counterparty, Reconciliation, ReconciliationConfig, files, find_party
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.model import BillFile
from hutong.sandbox.bill import Entry
from hutong.sandbox.unionpay.bill import write_bill
from hutong.sandbox.unionpay.keys import MER_ID
from support.fakes.channel import HonestChannel
from support.fixtures.refunds import REFUNDS

RULE = BillRule(("trade",), "unionpay_zm", 9, timedelta(hours=8), timedelta(days=30))
DAY = date(2025, 12, 31)
READY = timedelta(hours=1)
"""From the begin of a test to the hour at which the bill of the day is made: nine in Beijing."""


def entry(number: int, *, amount: int = 1_000, kind: str = "payment") -> Entry:
    no, other = f"{number:08d}", f"9{number:020d}"
    return Entry(
        kind=kind,
        number=no,
        channel_no=other,
        order_no=no,
        channel_order_no=other,
        amount_minor=amount,
        order_amount_minor=amount,
        currency="CNY",
        fee_minor=6,
        state="S22",
        at=datetime(2025, 12, 31, 4, 0, tzinfo=UTC) + timedelta(seconds=number),
        description="",
        method="qr",
        data={"txn_type": "01", "txn_sub_type": "01", "biz_type": "000201"},
    )


def bill(numbers: Iterable[int], **changes: Any) -> bytes:
    return write_bill([entry(number, **changes) for number in numbers])


@dataclass
class BilledChannel(HonestChannel):
    """A channel that gives the bills it has, and is not ready for the others."""

    bills: dict[date, bytes | BillState] = field(default_factory=dict)
    asked: list[date] = field(default_factory=list)

    def bill_identity(self) -> BillIdentity:
        return BillIdentity(MER_ID)

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: Any) -> Bill:
        self.asked.append(day)
        content = self.bills.get(day, BillState.NOT_READY)
        if isinstance(content, BillState):
            return Bill(content, kind, day, channel_code="no_bill")
        path = folder / "bill.zm"
        path.write_bytes(content)
        return Bill(BillState.READY, kind, day, (path,))


class BillWorld:
    """One account, and what comes in for it."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path) -> None:
        self.clock, self.ids, self.database = clock, Ids(clock), database
        self.account_id = self.ids.new()
        self.channel = BilledChannel(capabilities=replace(REFUNDS, bill=RULE))
        self.config = ReconciliationConfig(folder, memory_mb=256, upload_bytes_max=1 << 20, engine="fingerprint")
        self.use = Reconciliation(database, self, self.config, clock, self.ids)  # type: ignore[arg-type]

    async def get(self, account_id: UUID) -> BilledChannel:
        if account_id != self.account_id:
            raise ConfigurationError("an account of another test")
        return self.channel

    async def register(self) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(
                "INSERT INTO channels.account (id, channel, name, sandbox, credentials_sealed, enabled, version, "
                "created_at, updated_at) VALUES ($1, 'unionpay', $2, false, '\\x00', true, 1, $3, $3)",
                self.account_id,
                str(self.account_id),
                self.clock.now(),
            )

    @property
    def name(self) -> str:
        return ids.encode("acc", self.account_id)

    async def party(self) -> Counterparty:
        """The account, with the layers of its bills alone: the others have no rows here."""
        party = await find_party(self.use, self.account_id)
        return replace(party, layers=tuple(layer for layer in party.layers if layer.theirs is SideSource.BILL))

    async def receive(self, content: bytes, name: str = "bill.zm", **changes: Any) -> BillFile:
        self.clock.advance(timedelta(milliseconds=1))  # ids, and so files, are in the order of their time
        with files.staging(self.use) as folder:
            path = folder / "file"
            path.write_bytes(content)
            values: dict[str, Any] = {"layout": "unionpay_zm", "day": DAY} | changes
            whole = values.get("is_whole", False)
            incoming = files.Incoming(await self.party(), values["layout"], path, name, values["day"], whole)
            return await files.receive(self.use, incoming)

    async def take(self, content: bytes, name: str = "bill.zm", **changes: Any) -> BillFile:
        file = await self.receive(content, name, **changes)
        return await files.read_file(self.use, file.file_id)

    async def states(self) -> list[str]:
        async with self.database.transaction() as tx:
            found = await files.list_files(tx, account_id=self.account_id, limit=100)
        return [file.state.value for file in reversed(found)]

    async def counted_rows(self) -> int:
        async with self.database.transaction() as tx:
            found = await files.files_that_count(tx, self.account_id, DAY)
        return sum(file.rows or 0 for file in found)
