"""`hutong operator …`: the people who act on the platform, and the journal of their actions."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, in_transaction, load_settings, make_ids
from hutong.cli.output import print_json, print_line, print_text
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from hutong import db, operators

operator = typer.Typer(help="People who act on the platform, and the journal of their actions.", no_args_is_help=True)
audit = typer.Typer(help="The journal: append-only and hash-chained.", no_args_is_help=True)
operator.add_typer(audit, name="audit")

Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the journal.")]


@operator.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    role: Annotated[str, typer.Option("--role", help="viewer, operator, approver or admin.")] = "viewer",
    duty: Annotated[
        list[str] | None,
        typer.Option(
            help="Of differences, decide only those of this layer, such as batch_bank, or only one action there, as in "
            "refund_bill:adopt_refund; may be repeated."
        ),
    ] = None,
    reason: Reason = "from the command line",
    as_json: Json = False,
) -> None:
    """Register an operator and issue the key, which is shown only once."""
    from hutong import ids, operators
    from hutong.errors import InvalidParameter

    settings = load_settings()
    operator_id = make_ids(settings).new()
    if role not in set(operators.Role):
        raise InvalidParameter(f"a role is one of {', '.join(operators.Role)}", param="--role")
    if duty:
        from hutong.reconciliation import differences

        differences.check_duties(duty)

    async def work(tx: db.Tx) -> str:
        return await operators.add_operator(
            tx,
            operator_id=operator_id,
            name=name,
            role=operators.Role(role),
            random=secrets.token_urlsafe(32),
            reason=reason,
            now=SystemClock().now(),
            duties=duty or [],
        )

    key = in_transaction(work, settings)
    document = {
        "operator_id": ids.encode(operators.OPERATOR_PREFIX, operator_id),
        "role": role,
        "duties": sorted(set(duty or [])),
        "key": key,
    }
    if as_json:
        print_json(document)
        return
    for label, value in document.items():
        if value:
            print_line(f"{label:<12} {' '.join(value) if isinstance(value, list) else value}")
    print_line("The key is not shown again.")


@operator.command("list")
def list_all(as_json: Json = False) -> None:
    """List the operators, without secrets."""
    from hutong import ids, operators

    documents = [
        {
            "operator_id": ids.encode(operators.OPERATOR_PREFIX, entry.operator_id),
            "name": entry.name,
            "role": entry.role,
            "duties": list(entry.duties),
            "disabled_at": None if entry.disabled_at is None else entry.disabled_at.isoformat(),
        }
        for entry in in_transaction(operators.list_operators)
    ]
    if as_json:
        print_json({"operators": documents})
        return
    for document in documents:
        state = "enabled" if document["disabled_at"] is None else "disabled"
        print_line(f"{document['operator_id']}  {document['role']:<9} {state:<9} {document['name']}{_limits(document)}")
    if not documents:
        print_line("There is no operator. `hutong operator add` registers one.")


def _limits(document: dict[str, Any]) -> str:
    return f"  ({' '.join(document['duties'])})" if document["duties"] else ""


@operator.command("disable")
def disable(
    operator_id: Annotated[str, typer.Argument(metavar="OPERATOR", help="The operator, opr_….")],
    reason: Reason = "from the command line",
) -> None:
    """Disable an operator, at once and permanently; their open proposals are void."""
    from hutong import ids, operators

    identifier = ids.decode(operators.OPERATOR_PREFIX, operator_id)

    async def work(tx: db.Tx) -> None:
        await operators.disable_operator(tx, identifier, reason=reason, now=SystemClock().now())

    in_transaction(work)
    print_line("disabled")


@audit.command("list")
def audit_list(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most rows to show.")] = 50, as_json: Json = False
) -> None:
    """List the recorded actions, newest first."""
    from hutong import operators

    async def work(tx: db.Tx) -> list[operators.AuditRecord]:
        return await operators.list_audit(tx, limit=limit)

    entries = [_document(record) for record in in_transaction(work)]
    if as_json:
        print_json({"audit": entries})
        return
    for entry in entries:
        columns = (entry[name] for name in ("at", "actor_id", "action", "object_id", "reason"))
        print_line("  ".join([f"{entry['seq']:>6}", *columns]))


@audit.command("verify")
def audit_verify(as_json: Json = False) -> None:
    """Prove that no row was removed or altered, and that no operator or key was made past the journal.

    Exits 1 if there is a problem. Keep the head elsewhere to prove it later.
    """
    from hutong import merchants, operators

    async def work(tx: db.Tx) -> tuple[operators.AuditVerdict, list[str]]:
        await operators.hold_snapshot(tx)
        verdict = await operators.verify_audit(tx)
        return verdict, [*verdict.problems, *await operators.verify_operators(tx), *await merchants.verify_keys(tx)]

    verdict, problems = in_transaction(work)
    if as_json:
        print_json({"ok": not problems, "rows": verdict.rows, "head": verdict.head, "problems": problems})
    else:
        print_line(f"{verdict.rows} rows, head {verdict.head}")
        print_text("\n".join(problems) or "the journal is unaltered, and operators and keys are as it states them")
    sys.exit(1 if problems else 0)


def _document(record: operators.AuditRecord) -> dict[str, Any]:
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
