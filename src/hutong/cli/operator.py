"""`hutong operator …`: the people who act on the platform, and the journal of what they did."""

from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db

operator = typer.Typer(help="People who act on the platform, and the journal of what they did.", no_args_is_help=True)
audit = typer.Typer(help="The journal: written once, chained.", no_args_is_help=True)
operator.add_typer(audit, name="audit")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the journal.")]


@operator.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Who it is.")],
    role: Annotated[str, typer.Option("--role", help="viewer, operator, approver or admin.")] = "viewer",
    reason: Reason = "from the command line",
    as_json: Json = False,
) -> None:
    """Register somebody and give out the key, which is shown this once."""
    from hutong import config, ids, operators
    from hutong.cli.common import in_transaction
    from hutong.errors import InvalidParameter
    from hutong.ids import Ids

    settings, clock = config.load(), SystemClock()
    operator_id = Ids(clock, zone=settings.zone).new()
    if role not in set(operators.Role):
        raise InvalidParameter(f"a role is one of {', '.join(operators.Role)}", param="--role")

    async def work(tx: db.Tx) -> str:
        return await operators.add_operator(
            tx,
            operator_id=operator_id,
            name=name,
            role=operators.Role(role),
            random=secrets.token_urlsafe(32),
            reason=reason,
            now=clock.now(),
        )

    key = in_transaction(settings, work)
    shown = {"operator_id": ids.encode(operators.OPERATOR_PREFIX, operator_id), "role": role, "key": key}
    if as_json:
        print(json.dumps(shown))
        return
    for label, value in shown.items():
        print(f"{label:<12} {value}")
    print("The key is not shown again.")


@operator.command("list")
def list_all(as_json: Json = False) -> None:
    """Show everybody, without what is secret."""
    from hutong import config, ids, operators
    from hutong.cli.common import in_transaction

    found = [
        {
            "operator_id": ids.encode(operators.OPERATOR_PREFIX, one.operator_id),
            "name": one.name,
            "role": one.role,
            "disabled_at": None if one.disabled_at is None else one.disabled_at.isoformat(),
        }
        for one in in_transaction(config.load(), operators.list_operators)
    ]
    if as_json:
        print(json.dumps({"operators": found}))
        return
    for one in found:
        state = "enabled" if one["disabled_at"] is None else "disabled"
        print(f"{one['operator_id']}  {one['role']:<9} {state:<9} {one['name']}")
    if not found:
        print("There is nobody. `hutong operator add` registers somebody.")


@operator.command("disable")
def disable(operator_id: str, reason: Reason = "from the command line") -> None:
    """Take somebody's rights away, at once and for good."""
    from hutong import config, ids, operators
    from hutong.cli.common import in_transaction

    identifier = ids.decode(operators.OPERATOR_PREFIX, operator_id)

    async def work(tx: db.Tx) -> None:
        await operators.disable_operator(tx, identifier, reason=reason, now=SystemClock().now())

    in_transaction(config.load(), work)
    print("disabled")


@audit.command("list")
def audit_list(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50, as_json: Json = False
) -> None:
    """Show what was done, newest first."""
    from hutong import config, operators
    from hutong.cli.common import in_transaction

    async def work(tx: db.Tx) -> list[operators.AuditRecord]:
        return await operators.list_audit(tx, limit=limit)

    found = [_document(record) for record in in_transaction(config.load(), work)]
    if as_json:
        print(json.dumps({"audit": found}))
        return
    for one in found:
        print(f"{one['seq']:>6}  {one['at']}  {one['actor_id']}  {one['action']}  {one['object_id']}  {one['reason']}")


@audit.command("verify")
def audit_verify(as_json: Json = False) -> None:
    """Prove that no row was removed or altered; exits 1 if one was. Keep the head elsewhere to prove it later."""
    from hutong import config, operators
    from hutong.cli.common import in_transaction

    found = in_transaction(config.load(), operators.verify_audit)
    if as_json:
        print(
            json.dumps({"ok": not found.problems, "rows": found.rows, "head": found.head, "problems": found.problems})
        )
    else:
        print(f"{found.rows} rows, head {found.head}")
        print("\n".join(found.problems) or "the journal is as it was written")
    sys.exit(1 if found.problems else 0)


def _document(record: Any) -> dict[str, Any]:
    from hutong import ids, operators

    entry = record.entry
    actor = "system" if entry.actor_id is None else ids.encode(operators.OPERATOR_PREFIX, entry.actor_id)
    return {
        "seq": record.seq,
        "at": record.at.isoformat(),
        "actor_id": actor,
        "action": entry.action,
        "object_kind": entry.object_kind,
        "object_id": entry.object_id,
        "reason": entry.reason,
        "before": entry.before,
        "after": entry.after,
        "request_id": entry.request_id,
    }
