"""The true rows of one account, and from them both sides: what the books have and what the bills state."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from hutong.reconciliation.generate.model import DISPUTES, MENDED, AccountPlan

_PLANTED_EVERY_MAX = 1_000
_DISPUTES_EVERY_MAX = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def _query(name: str) -> Template:
    folder = importlib.resources.files("hutong.reconciliation.generate") / "queries"
    return Template((folder / f"{name}.sql").read_text(encoding="utf-8"))


@dataclass(slots=True)
class World:
    """The rows of one account over all days, in a Parquet file that both sides are read from.

    Attributes:
        duck: The connection; it holds the views `ours` and `theirs` once `show` was called.
        rows: Of all days; each day has as many.
    """

    duck: Any
    plan: AccountPlan
    path: Path
    rows: int
    days: tuple[date, ...]
    seed: int

    @property
    def per_day(self) -> int:
        """The number of true rows of a day."""
        return self.rows // len(self.days)

    def create(self, merchants: int) -> None:
        """Invent the rows."""
        plan = self.plan
        every = self.per_day // max(len(plan.payments), len(plan.refunds)) // 8 * 8
        stride = max(8, min(_PLANTED_EVERY_MAX, every))
        disputes_every = max(len(DISPUTES) + 1, min(_DISPUTES_EVERY_MAX, self.per_day // 160))
        self.run(
            "world",
            per_day=self.per_day,
            rows=self.rows,
            days=len(self.days),
            seed=f"{self.seed}:{plan.channel}",
            stride=stride,
            shift=self.seed % 1_000,
            payment_place=self.seed % (stride // 8) * 8 + 2,
            back_place=self.seed // 7 % (stride // 8) * 8 + 7,
            payment_plants=_list(plan.payments),
            refund_plants=_list(plan.refunds),
            dispute_plants=_list((*DISPUTES, *[""] * (disputes_every - len(DISPUTES)))),
            dispute_stride=disputes_every,
            has_disputes=plan.has_disputes,
            has_discounts=plan.has_discounts,
            returns_fees=plan.returns_fees,
            fee_ppm=plan.fee_ppm,
            fee_fixed=plan.fee_fixed,
            merchants=merchants,
            start_us=_microseconds(plan.starts_at(self.days[0])),
            world=self.path,
        )

    def show(self, *, restated: bool) -> None:
        """Make the views of both sides; the bills are the corrected ones if `restated`."""
        self.run(
            "sides",
            world=self.path,
            restated=restated,
            mended=_tuple(MENDED),
            currency=self.plan.currency,
            other_currency=self.plan.other_currency,
        )

    def write_ours(self, day_no: int, out: Path, *, booked: bool) -> None:
        """Write our rows of a day and of the margin behind it: those of the journal, or those known and not booked."""
        plan = self.plan
        ends_at = plan.starts_at(self.days[0]) + timedelta(days=day_no + 1)
        self.run(
            "rows",
            our_channel_no=plan.channel_no,
            first_day=self.days[0],
            currency=plan.currency,
            expects_fees=plan.expects_fees,
            day_no=day_no,
            margin_us=_microseconds(ends_at + plan.window.margin),
            booked=booked,
            file=0 if booked else 1,
            out=out,
        )

    def write_key(self, out: Path, *, restated: bool) -> None:
        """Write the planted differences; those that only a corrected bill has are left out unless `restated`."""
        self.run(
            "key",
            world=self.path,
            account=self.plan.account,
            currency=self.plan.currency,
            other_currency=self.plan.other_currency,
            first_day=self.days[0],
            expects_fees=self.plan.expects_fees,
            mended=_tuple(MENDED),
            restated=restated,
            out=out,
        )

    def run(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        """Run a query of the folder `queries` and return its rows."""
        texts = {
            key: str(value).replace("'", "''") if isinstance(value, Path) else value for key, value in values.items()
        }
        rows: list[tuple[Any, ...]] = self.duck.execute(_query(name).substitute(texts)).fetchall()
        return rows


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _list(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _tuple(values: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"
