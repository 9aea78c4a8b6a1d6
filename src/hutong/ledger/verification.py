"""The proof of the books: the chain of seals, and everything that follows from the rows under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from hutong import db
from hutong.errors import InvalidParameter
from hutong.ledger.accounting.postings import EventCode
from hutong.ledger.hash_chain import GENESIS, LEAF_BYTES, link, seal
from hutong.ledger.model import BALANCE_MAX
from hutong.ledger.statements import sql as _sql

PROBLEMS_MAX = 100
"""How many problems of one kind are named."""

_CHECKS = (
    ("outside", _sql.rows_outside_of_seals),
    ("steps", _sql.wrong_steps),
    ("holds", _sql.wrong_special_rows),
    ("reversals", _sql.wrong_reversals),
    ("accounts", _sql.wrong_accounts),
    ("days", _sql.wrong_days),
    ("memos", _sql.wrong_memos),
    ("archive", _sql.wrong_partitions),
)
_WORK_MEMORY = "192MB"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in the books that is not as it must be.

    Attributes:
        kind: The check that found it: seals, rows, records, outside, steps, holds, reversals, accounts, days, memos,
            archive, sums.
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
    problems: list[Problem] = field(default_factory=list)

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
    """Seal all committed rows, then verify the books in one snapshot. Arguments and errors as `verify`."""
    while await database.run(partial(seal, now=now)):
        pass
    async with database.transaction() as tx:
        await _sql.steady_snapshot.execute(tx)
        return await verify(tx, since=since, kept=kept)


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
    known_heads = [_read_head(head) for head in kept]
    start, start_hash, from_xact = 0, GENESIS, 0
    problems: list[Problem] = []
    if since is not None:
        head = _read_head(since)
        known = await _sql.seal_of_hash.fetchrow(tx, head)
        if known is None:
            problems.append(Problem("seals", f"head {since}", "the chain does not contain it; all of it was read"))
        else:
            start, start_hash, from_xact = known["seq"], head, known["to_xact"]
    for record in await _sql.heads_not_in_chain.fetch(tx, known_heads):
        if _room(problems, "seals"):
            problems.append(Problem("seals", f"head {record['hash'].hex()}", "the chain does not contain it"))
    end = await _sql.chain_end.fetchrow(tx)
    assert end is not None
    rows, seals = await _verify_seals(tx, start, start_hash, from_xact, problems)
    if seals != (end["seq"] or 0) - start:
        problems.append(Problem("seals", f"seal {end['seq']}", "the chain has gaps before it"))
    arguments = {
        "from_xact": from_xact if start else -BALANCE_MAX, "is_whole": start == 0, "first_day": end["first_day"],
        "most": PROBLEMS_MAX,
        "since_day": await _sql.first_whole_day.fetchval(tx, start), "reversal_code": int(EventCode.REVERSAL),
        "next_xact": await _sql.next_xact.fetchval(tx),
    }  # fmt: skip
    await _sql.sort_in_memory.execute(tx, _WORK_MEMORY)
    for kind, statement in _CHECKS:
        found = await statement.fetch(tx, **{name: arguments[name] for name in statement.parameters})
        problems += [Problem(kind, record["subject"], record["detail"]) for record in found]
    for record in await _sql.trial_balance.fetch(tx):
        problems += [
            Problem("sums", f"ledger {record['ledger']}", f"{kind} debits and credits differ")
            for kind in ("posted", "pending")
            if record[f"debits_{kind}"] != record[f"credits_{kind}"]
        ]
    return ChainVerdict(rows, seals, (end["hash"] or GENESIS).hex(), end["unsealed"], problems)


def _read_head(since: str) -> bytes:
    try:
        head = bytes.fromhex(since)
    except ValueError:
        head = b""
    if len(head) != len(GENESIS):
        raise InvalidParameter("the head must be 64 hexadecimal digits, as `verify` prints it", param="since")
    return head


async def _verify_seals(
    tx: db.Tx, start: int, start_hash: bytes, from_xact: int, problems: list[Problem]
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
            problems.append(Problem("seals", f"seal {record['seq']}", "the chain does not hold"))
        if record["leaves"] != record["leaves_now"]:
            await _name_changed(tx, record, "rows", "leaves", problems)
        if record["records"] != record["records_now"]:
            await _name_changed(tx, record, "records", "records", problems)
        seq, previous, first, version = record["seq"], record["hash"], record["to_xact"], record["version"]
    return rows, seals


async def _name_changed(tx: db.Tx, record: Any, kind: str, column: str, problems: list[Problem]) -> None:
    """Name what is not as it was sealed: each row or record with another digest, and the number of those gone."""
    statement = _sql.leaves_of_seal if kind == "rows" else _sql.records_of_seal
    kept = record[column]
    sealed = {kept[at : at + LEAF_BYTES] for at in range(0, len(kept), LEAF_BYTES)}
    found = set()
    for now in await statement.fetch(tx, record["from_xact"], record["to_xact"]):
        if now["leaf"] in sealed:
            found.add(now["leaf"])
        elif _room(problems, kind):
            problems.append(Problem(kind, now["subject"], f"not as it was sealed (seal {record['seq']})"))
    missing = len(sealed - found)
    if _room(problems, kind):
        detail = f"{missing} of its {kind} are changed or gone" if missing else f"its {kind} have another order"
        problems.append(Problem(kind, f"seal {record['seq']}", detail))


def _room(problems: list[Problem], kind: str) -> bool:
    return sum(problem.kind == kind for problem in problems) < PROBLEMS_MAX
