"""The proof of the books: the chain of seals, and everything that follows from the rows under it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from hutong import db
from hutong.errors import InvalidParameter
from hutong.ledger.accounting.events import EventCode
from hutong.ledger.hash_chain import GENESIS, LEAF_BYTES, link, seal
from hutong.ledger.model import BALANCE_MAX
from hutong.ledger.statements import sql as _sql

T = TypeVar("T")

PROBLEMS_MAX = 100
"""How many problems of one kind are named."""

_STEPS = (("steps", _sql.wrong_steps),)
"""It takes about as long as the chain and the other checks together."""
_OTHERS = (
    ("outside", _sql.rows_outside_of_seals),
    ("holds", _sql.wrong_special_rows),
    ("reversals", _sql.wrong_reversals),
    ("accounts", _sql.wrong_accounts),
    ("accounts", _sql.wrong_closings),
    ("periods", _sql.wrong_periods),
    ("orders", _sql.wrong_orders),
    ("days", _sql.wrong_days),
    ("memos", _sql.wrong_memos),
    ("archive", _sql.wrong_partitions),
)
_WORK_MEMORY = "192MB"


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """One thing in the books that is not as it must be.

    Attributes:
        kind: The check that found it: seals, rows, records, outside, steps, holds, reversals, accounts, periods,
            orders, days, memos, archive, sums.
        subject: What is wrong, by its id: `row 0196…`, `account …`, `seal 7`.
        detail: Why.
    """

    kind: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}"


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """The result of `verify`.

    Attributes:
        rows: The number of sealed rows whose digests were compared.
        seals: The number of seals compared.
        head: The hash of the newest seal, in hexadecimal; a copy kept elsewhere proves everything before it.
        unsealed: The number of rows after the newest seal.
        problems: At most a hundred of each kind; none if the books hold.
    """

    rows: int
    seals: int
    head: str
    unsealed: int = 0
    problems: list[LedgerProblem] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether no problem was found."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal: who knows its hash can tell whether anything before it was changed."""

    seq: int
    hash: str
    sealed_at: datetime


async def chain_head(tx: db.Tx) -> Head | None:
    """Return the head of the chain; None before the first seal."""
    record = await _sql.newest_seal.fetchrow(tx)
    return Head(record["seq"], record["hash"].hex(), record["sealed_at"]) if record else None


async def seal_and_verify(
    database: db.Database, *, now: datetime, since: str | None = None, kept: Sequence[str] = ()
) -> ChainVerdict:
    """Seal all committed rows, then verify accounts' steps and everything else at the same time, on two connections.

    Arguments and errors as `verify`.
    """
    while await database.run(partial(seal, now=now)):
        pass
    async with database.transaction() as tx:
        start = await _find_start(tx, since)

    async def read(check: Callable[[db.Tx], Awaitable[T]]) -> T:
        async with database.transaction() as tx:
            await _sql.steady_snapshot.execute(tx)
            return await check(tx)

    try:
        async with asyncio.TaskGroup() as group:
            steps = group.create_task(read(lambda tx: _check(tx, start, _STEPS)))
            rest = group.create_task(read(lambda tx: _verify_rest(tx, start, kept)))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return replace(rest.result(), problems=rest.result().problems + steps.result())


async def verify(tx: db.Tx, *, since: str | None = None, kept: Sequence[str] = ()) -> ChainVerdict:
    """Verify the books: the chain, each row under it, and what rows, accounts, holds and days say of each other.

    Changes nothing. Reads everything, or with `since` what came after: the seals after that head, their rows, the
    accounts that they touched, the days since.

    Args:
        since: The head that an earlier verification printed: 64 hexadecimal digits.
        kept: Heads that the chain must contain.

    Errors:
        InvalidParameter: `since` or one of `kept` is not a head.
    """
    start = await _find_start(tx, since)
    steps = await _check(tx, start, _STEPS)
    verdict = await _verify_rest(tx, start, kept)
    return replace(verdict, problems=verdict.problems + steps)


@dataclass(frozen=True, slots=True)
class _Start:
    """The seal after which the verification begins; `problems` has one if the chain does not contain it."""

    seq: int = 0
    hash: bytes = GENESIS
    to_xact: int = 0
    problems: tuple[LedgerProblem, ...] = ()


async def _find_start(tx: db.Tx, since: str | None) -> _Start:
    if since is None:
        return _Start()
    head = _read_head(since)
    known = await _sql.seal_of_hash.fetchrow(tx, head)
    if known is None:
        problem = LedgerProblem("seals", f"head {since}", "the chain does not contain it; all of it was read")
        return _Start(problems=(problem,))
    return _Start(known["seq"], head, known["to_xact"])


async def _verify_chain(tx: db.Tx, start: _Start, kept: Sequence[str]) -> ChainVerdict:
    problems = list(start.problems)
    for record in await _sql.heads_not_in_chain.fetch(tx, [_read_head(head) for head in kept]):
        if _room(problems, "seals"):
            problems.append(LedgerProblem("seals", f"head {record['hash'].hex()}", "the chain does not contain it"))
    (end,) = await _sql.chain_end.fetch(tx)
    rows, seals = await _verify_seals(tx, start.seq, start.hash, start.to_xact, problems)
    if seals != (end["seq"] or 0) - start.seq:
        problems.append(LedgerProblem("seals", f"seal {end['seq']}", "the chain has gaps before it"))
    return ChainVerdict(rows, seals, (end["hash"] or GENESIS).hex(), end["unsealed"], problems)


async def _verify_rest(tx: db.Tx, start: _Start, kept: Sequence[str]) -> ChainVerdict:
    verdict = await _verify_chain(tx, start, kept)
    problems = verdict.problems + await _check(tx, start, _OTHERS)
    for record in await _sql.trial_balance.fetch(tx):
        problems += [
            LedgerProblem("sums", f"ledger {record['ledger']}", f"{kind} debits and credits differ")
            for kind in ("posted", "pending")
            if record[f"debits_{kind}"] != record[f"credits_{kind}"]
        ]
    return replace(verdict, problems=problems)


async def _check(tx: db.Tx, start: _Start, checks: Sequence[tuple[str, db.Statement]]) -> list[LedgerProblem]:
    arguments = {
        "from_xact": start.to_xact if start.seq else -BALANCE_MAX, "is_whole": start.seq == 0, "most": PROBLEMS_MAX,
        "first_day": await _sql.first_closed_day.fetchval(tx), "reversal_code": int(EventCode.REVERSAL),
        "month_code": int(EventCode.MONTH_CLOSING), "year_code": int(EventCode.YEAR_CLOSING),
        "since_day": await _sql.first_whole_day.fetchval(tx, start.seq), "next_xact": await _sql.next_xact.fetchval(tx),
    }  # fmt: skip
    await _sql.sort_in_memory.execute(tx, _WORK_MEMORY)
    problems = []
    for kind, statement in checks:
        found = await statement.fetch(tx, **{name: arguments[name] for name in statement.parameters})
        problems += [LedgerProblem(kind, record["subject"], record["detail"]) for record in found]
    return problems


def _read_head(since: str) -> bytes:
    try:
        head = bytes.fromhex(since)
    except ValueError:
        head = b""
    if len(head) != len(GENESIS):
        raise InvalidParameter("the head must be 64 hexadecimal digits, as `verify` prints it", param="since")
    return head


async def _verify_seals(
    tx: db.Tx, start: int, start_hash: bytes, from_xact: int, problems: list[LedgerProblem]
) -> tuple[int, int]:
    rows = seals = 0
    seq, previous, first, version = start, start_hash, from_xact, 1
    async for record in _sql.seals.cursor(tx, start, prefetch=4):
        seals += 1
        rows += record["row_count"]
        seq += 1
        whole = (
            record["seq"] == seq
            and record["from_xact"] == first
            and record["version"] >= version
            and record["hash"] == link(previous, record)
            and len(record["leaves"]) == record["row_count"] * LEAF_BYTES
            and len(record["records"]) == record["record_count"] * LEAF_BYTES
        )
        if not whole and _room(problems, "seals"):
            problems.append(LedgerProblem("seals", f"seal {record['seq']}", "the chain does not hold"))
        if record["leaves"] != record["leaves_now"]:
            await _name_changed(tx, record, "rows", "leaves", problems)
        if record["records"] != record["records_now"]:
            await _name_changed(tx, record, "records", "records", problems)
        seq, previous, first, version = record["seq"], record["hash"], record["to_xact"], record["version"]
    return rows, seals


async def _name_changed(tx: db.Tx, record: Any, kind: str, column: str, problems: list[LedgerProblem]) -> None:
    """Name what is not as it was sealed: each row or record with another digest, and the number of those gone."""
    statement = _sql.leaves_of_seal if kind == "rows" else _sql.records_of_seal
    kept = record[column]
    sealed = {kept[at : at + LEAF_BYTES] for at in range(0, len(kept), LEAF_BYTES)}
    found = set()
    for now in await statement.fetch(tx, record["from_xact"], record["to_xact"]):
        if now["leaf"] in sealed:
            found.add(now["leaf"])
        elif _room(problems, kind):
            problems.append(LedgerProblem(kind, now["subject"], f"not as it was sealed (seal {record['seq']})"))
    missing = len(sealed - found)
    if _room(problems, kind):
        detail = f"{missing} of its {kind} are changed or gone" if missing else f"its {kind} have another order"
        problems.append(LedgerProblem(kind, f"seal {record['seq']}", detail))


def _room(problems: list[LedgerProblem], kind: str) -> bool:
    return sum(problem.kind == kind for problem in problems) < PROBLEMS_MAX
