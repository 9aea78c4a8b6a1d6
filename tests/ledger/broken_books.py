"""Rules of the books, each broken at one named point, to see whether the simulation notices, and by which check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from books_world import Carrier

from hutong.db.statements import Statement
from hutong.ledger import Ledger, Transfer, day_rule
from hutong.ledger.accounting import reversal
from hutong.ledger.codec import Loaded
from hutong.ledger.day_rule import DayRule
from hutong.ledger.statements import sql

Patch = pytest.MonkeyPatch
UTC_SHIFTED, SHANGHAI_AT_23, NEW_YORK_SPRING, NEW_YORK_AUTUMN = 9, 5, 1, 2


def day_since_1970(days: int | None) -> date:
    return date(1970, 1, 1) + timedelta(days=days or 0)


def _replace(patch: Patch, name: str, old: str, new: str) -> None:
    statement = getattr(sql, name)
    assert old in statement.text, statement.text
    broken = Statement(name, statement.text.replace(old, new))
    broken.parameters, broken._in_order, broken.positional = (
        statement.parameters, statement._in_order, statement.positional,
    )  # fmt: skip
    patch.setitem(sql._entries, name, broken)


def dates_off_by_the_cut(patch: Patch) -> None:
    """Business is of the calendar's day, whatever the cut time."""
    patch.setattr(DayRule, "day_of", lambda self, at: at.astimezone(ZoneInfo(self.zone)).date())


def dates_of_the_worker(patch: Patch) -> None:
    """Business is of the day that the worker has come to."""
    date_of = Loaded.date_of
    patch.setattr(
        Loaded, "date_of",
        lambda self, at: day_since_1970(self._online) if self._online else date_of(self, at),
    )  # fmt: skip


def imports_of_today(patch: Patch) -> None:
    """What is imported is of the day in which it is imported."""
    patch.setattr(Loaded, "dates_of", lambda self, rows: [self.date_of(self.first_timestamp)] * len(rows))


def no_summer_time(patch: Patch) -> None:
    """The zone's clock is never changed."""

    def end_of(self: DayRule, day: date) -> datetime:
        at = day if self.cut_belongs_to is day_rule.CutBelongsTo.SAME_DAY else day + timedelta(days=1)
        shift = datetime(2026, 1, 15, tzinfo=ZoneInfo(self.zone)).utcoffset()
        assert shift is not None
        return (datetime.combine(at, self.cut_time) - shift).replace(tzinfo=UTC)

    patch.setattr(DayRule, "end_of", end_of)


def skipped_times_as_if_not(patch: Patch) -> None:
    """A day whose end the clock skips ends as if the clock had not been changed."""

    def end_of(self: DayRule, day: date) -> datetime:
        at = day if self.cut_belongs_to is day_rule.CutBelongsTo.SAME_DAY else day + timedelta(days=1)
        return datetime.combine(at, self.cut_time, ZoneInfo(self.zone)).astimezone(UTC)

    patch.setattr(DayRule, "end_of", end_of)


def close_too_early(patch: Patch) -> None:
    """A day is closed while it is still going on."""
    patch.setattr(DayRule, "last_due_day", lambda self, now: self.day_of(now))


def close_without_waiting(patch: Patch) -> None:
    """Transactions from before the switch are not waited for."""
    condition = "db.xact_offset() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= switched_xact"
    _replace(patch, "drain", condition, "true")


def take_late_rows(patch: Patch) -> None:
    """What comes after its day was closed still goes into it."""
    patch.setattr(Loaded, "date_of", lambda self, at: max(self.day_of(at), day_since_1970(self._latest)))


def import_late_without_a_reason(patch: Patch) -> None:
    """Imports into closed days are taken from everybody."""
    begin = Ledger.__init__

    def begun(self: Ledger, tx: Any, *, clock: Any, late_import_reason: str = "") -> None:
        begin(self, tx, clock=clock, late_import_reason=late_import_reason or "none")

    patch.setattr(Ledger, "__init__", begun)


def double_a_movement(patch: Patch) -> None:
    """The credits of a day count twice."""
    _replace(patch, "balance_accounts", "sum(e.credits)::bigint", "(2 * sum(e.credits))::bigint")


def open_where_the_day_opened(patch: Patch) -> None:
    """A subject's closing balance leaves out what moved."""
    _replace(patch, "balance_subjects", "sum(od) + sum(d)", "sum(od)")
    _replace(patch, "subject_apart_from_days", "HAVING", "HAVING false AND")


def forget_earlier_days(patch: Patch) -> None:
    """A day that is closed changes those before it."""
    _replace(patch, "forget_day_balances", "ledger.day_balance WHERE day = $1", "ledger.day_balance WHERE day <= $1")


def forget_that_holds_end(patch: Patch) -> None:
    """Holds that have run out hold on."""

    async def nothing(self: Ledger, *arguments: Any) -> int:
        return arguments[-1] if len(arguments) > 1 else 0

    patch.setattr(Ledger, "_expire", nothing)
    patch.setattr(Ledger, "_release_due", nothing)


def count_holds_in_statements(patch: Patch) -> None:
    """A statement shows holds as if they were bookings."""
    _replace(patch, "statement_lines", "t.flags & 32778 = 0", "true")


def statements_without_the_archive(patch: Patch) -> None:
    """A statement reads the journal without what is archived."""
    _replace(patch, "statement_lines", "ledger.journal", "ledger.transfer")


def reverse_on_the_same_sides(patch: Patch) -> None:
    """A reversal is booked like what it reverses."""

    def same(*, debit_account_id: int, credit_account_id: int, **fields: Any) -> Transfer:
        return Transfer(debit_account_id=credit_account_id, credit_account_id=debit_account_id, **fields)

    patch.setattr(reversal, "Transfer", same)


def keep_the_numbers_of_the_old_cluster(patch: Patch) -> None:
    """A cluster is adopted without shifting its numbers."""
    prepare = Carrier.prepare

    async def prepared(self: Carrier, url: str) -> None:
        await prepare(self, url)
        await self._owner(
            url,
            """
            CREATE OR REPLACE FUNCTION db.adopt_cluster() RETURNS integer
                LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
                UPDATE db.cluster SET system_identifier = (SELECT system_identifier FROM pg_control_system());
                SELECT NULL::integer
            $$
            """,
        )

    patch.setattr(Carrier, "prepare", prepared)


@dataclass(frozen=True)
class Break:
    """A broken rule, the seed that shows it, the check that finds it, and how much business a day it takes."""

    rule: Callable[[Patch], None]
    seed: int
    check: str
    business: int = 12

    def __str__(self) -> str:
        return self.rule.__name__


BREAKS = [
    Break(dates_off_by_the_cut, SHANGHAI_AT_23, "date"),
    Break(dates_of_the_worker, UTC_SHIFTED, "date"),
    Break(imports_of_today, UTC_SHIFTED, "date"),
    Break(no_summer_time, NEW_YORK_SPRING, "date", business=4),
    Break(skipped_times_as_if_not, NEW_YORK_SPRING, "date", business=5),
    Break(close_too_early, NEW_YORK_AUTUMN, "early"),
    Break(close_without_waiting, UTC_SHIFTED, "drain"),
    Break(take_late_rows, UTC_SHIFTED, "date"),
    Break(import_late_without_a_reason, UTC_SHIFTED, "answer"),
    Break(double_a_movement, UTC_SHIFTED, "refused"),
    Break(open_where_the_day_opened, UTC_SHIFTED, "subject"),
    Break(forget_earlier_days, UTC_SHIFTED, "refused"),
    Break(forget_that_holds_end, UTC_SHIFTED, "account"),
    Break(count_holds_in_statements, UTC_SHIFTED, "statement"),
    Break(statements_without_the_archive, UTC_SHIFTED, "statement by time"),
    Break(reverse_on_the_same_sides, UTC_SHIFTED, "day"),
    Break(keep_the_numbers_of_the_old_cluster, UTC_SHIFTED, "refused", business=4),
]
