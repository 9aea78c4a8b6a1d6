"""The worker's part: requests are run when they are due."""

from __future__ import annotations

from datetime import date, timedelta

from hutong import db
from hutong.reconciliation import bank
from hutong.reconciliation.parties import find_party
from hutong.reconciliation.requests import RunRequest, due_requests
from hutong.reconciliation.runs.run import Stage, run_day
from hutong.reconciliation.statements import sql
from hutong.reconciliation.workplace import Reconciliation
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_WAITS_MINUTES = (1, 5, 10, 30)
_LAST_WAIT = timedelta(hours=1)
_ERROR_MAX = 300


async def run_due(use: Reconciliation) -> int:
    """Run the requests that are due, of each account the earliest day.

    Effects:
        A request whose run fails is put off, longer each time; its error is kept and logged.

    Returns:
        The number of requests that have ended.
    """
    async with use.database.transaction() as tx:
        if await db.open_catch_up(tx) is not None:
            return 0
        requests = await due_requests(tx, use.clock.now())
        banks = {account.bank_account_id for account in await bank.list_accounts(tx)}
    # A statement stands on the bills of its day.
    ended = await use.for_each([each for each in requests if each.account_id not in banks], _run)
    return ended + await use.for_each([each for each in requests if each.account_id in banks], _run)


async def _run(use: Reconciliation, request: RunRequest) -> bool:
    async def report(day: date, stage: Stage) -> None:
        text = f"{day.isoformat()} {stage.value}"
        await use.database.run(lambda tx: sql.set_stage.execute(tx, request.request_id, text))

    try:
        party = await find_party(use, request.account_id)
        await run_day(use, party, request.day, report=report)
    except Exception as error:  # noqa: BLE001 - one account's trouble, whatever it is, must not hold up the others
        await _put_off(use, request, error)
        return False
    now = use.clock.now()
    await use.database.run(
        lambda tx: sql.end_request.execute(tx, request_id=request.request_id, requested_at=request.requested_at, at=now)
    )
    return True


async def _put_off(use: Reconciliation, request: RunRequest, error: Exception) -> None:
    failures, waits = request.failures, _WAITS_MINUTES
    wait = timedelta(minutes=waits[failures]) if failures < len(waits) else _LAST_WAIT
    reason, next_at = (str(error) or type(error).__name__)[:_ERROR_MAX], use.clock.now() + wait
    await use.database.run(
        lambda tx: sql.put_off_request.execute(tx, request_id=request.request_id, error=reason, next_at=next_at)
    )
    _log.error("reconciliation_run_failed", day=request.day.isoformat(), reason=reason)
