"""`hutong recon differences` and `hutong recon resolve`: cases, their owners, and what ends them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, KeyFile, Reason, check_target, in_transaction, make_ids, read_key
from hutong.cli.output import print_json, print_line, print_result, print_text
from hutong.cli.recon.options import Account, Day, account_id, as_day
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hutong import db
    from hutong.reconciliation import differences

    _Select = Callable[[db.Tx], Awaitable[list[differences.CaseDecision]]]
    """Returns the decisions that are to be taken."""

cases = typer.Typer()
resolving = typer.Typer(
    help="Decide about differences; where money moves, another person approves.", no_args_is_help=True
)

_SHOWN = ("id", "layer", "class", "column", "key", "currency", "amount_minor", "suspense_minor", "state", "age_days")
_COUNTED = ("layer", "class", "state", "currency", "count", "long_minor", "short_minor", "oldest_day")
_MOST = 999_999_999_999_999
_LISTED = 1_000_000


class CaseLayer(StrEnum):
    """The layers that differences are selected by."""

    PAYMENT_BILL = "payment_bill"
    REFUND_BILL = "refund_bill"
    PAYOUT_BILL = "payout_bill"
    DISPUTE_BILL = "dispute_bill"
    BATCH_BANK = "batch_bank"
    ORDER_PAYMENT = "order_payment"
    LEDGER_ORDER = "ledger_order"


class CaseClass(StrEnum):
    """The classes that differences are selected by."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    MISMATCH = "mismatch"
    DUPLICATE = "duplicate"
    DOUBLE_POSTING = "double_posting"
    AMBIGUOUS = "ambiguous"


class CaseState(StrEnum):
    """The states that differences are selected by."""

    ROLLED = "rolled"
    OPEN = "open"
    ASSIGNED = "assigned"
    PROPOSED = "proposed"
    APPROVED = "approved"
    RESOLVED = "resolved"


class CaseAction(StrEnum):
    """What persons may decide."""

    CONFIRM = "confirm"
    ADOPT_REFUND = "adopt_refund"
    REFUND = "refund"
    CLAIM = "claim"
    ADJUST_FEE = "adjust_fee"
    SUSPENSE = "suspense"
    WRITE_OFF = "write_off"
    PAIR = "pair"


CaseId = Annotated[str, typer.Argument(metavar="DIFFERENCE", help="The difference, dif_….")]
InLayer = Annotated[CaseLayer | None, typer.Option("--layer", help="Only this layer.")]
OfClass = Annotated[CaseClass | None, typer.Option("--class", help="Only this class.")]
InState = Annotated[CaseState | None, typer.Option("--state", help="Only this state; else all that are not resolved.")]
InCurrency = Annotated[str | None, typer.Option("--currency", help="Only this currency.")]
AtLeast = Annotated[int | None, typer.Option("--at-least", min=0, max=_MOST, help="Only amounts from this on.")]
AtMost = Annotated[int | None, typer.Option("--at-most", min=0, max=_MOST, help="Only amounts up to this one.")]
FirstUntil = Annotated[
    datetime | None, typer.Option("--first-until", formats=["%Y-%m-%d"], help="Only those as old as this day.")
]


def _filter(**given: Any) -> differences.DifferenceFilter:
    from hutong.errors import InvalidParameter
    from hutong.reconciliation import differences, model

    layer, klass, state = given["layer"], given["klass"], given["state"]
    if state is not None and given.get("everything"):
        raise InvalidParameter("--all and --state exclude each other", param="--all")
    return differences.DifferenceFilter(
        account_id=account_id(given["account"]),
        layer=None if layer is None else model.Layer(layer),
        klass=None if klass is None else model.DifferenceClass(klass),
        states=tuple(model.DifferenceState) if given.get("everything") else state and (model.DifferenceState(state),),
        currency=given["currency"],
        at_least=given["at_least"],
        at_most=given["at_most"],
        first_until=as_day(given["first_until"]),
        last_day=as_day(given.get("day")),
        key=given.get("key"),
    )


@cases.command("differences")
def list_differences(
    account: Account = None,
    layer: InLayer = None,
    klass: OfClass = None,
    state: InState = None,
    currency: InCurrency = None,
    at_least: AtLeast = None,
    at_most: AtMost = None,
    first_until: FirstUntil = None,
    day: Day = None,
    key: Annotated[str | None, typer.Option("--number", help="Only this key or reference.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Count them instead, by layer, class and state.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FILE",
            help="Write them as CSV, or as XLSX by its name, to be decided in a spreadsheet.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_LISTED, help="The most rows to show.")] = 100,
    as_json: Json = False,
) -> None:
    """List the differences that are not resolved, newest first; count or export what the same filter selects."""
    from hutong.clock import SystemClock
    from hutong.reconciliation import differences

    check_target(export, "--export")
    where = _filter(
        account=account, layer=layer, klass=klass, state=state, currency=currency, at_least=at_least, at_most=at_most,
        first_until=first_until, day=day, key=key, everything=everything,
    )  # fmt: skip
    today = SystemClock().now().date()
    if count:
        counts = in_transaction(lambda tx: differences.count_differences(tx, where))
        shown = [differences.count_document(each) for each in counts]
        _print_list("counters", shown, _COUNTED, as_json=as_json)
        return
    if export is not None:
        chosen = in_transaction(lambda tx: differences.list_all_differences(tx, where))
        if export.suffix.lower() == ".xlsx":
            export.write_bytes(differences.write_workbook(chosen, today=today))
        else:
            export.write_text(differences.write_sheet(chosen, today=today), newline="")
        print_result({"exported": len(chosen)}, f"{len(chosen)} differences written to {export}", as_json=as_json)
        return
    found = in_transaction(lambda tx: differences.list_differences(tx, where, limit=limit))
    documents = [differences.difference_document(case, today=today) for case in found]
    _print_list("differences", documents, _SHOWN, as_json=as_json)


@cases.command("difference")
def show_difference(difference: CaseId, as_json: Json = False) -> None:
    """Show a difference: what is wrong, both sides' rows, what may end it, and its history."""
    from hutong import ids
    from hutong.clock import SystemClock
    from hutong.reconciliation import differences, model

    identifier = ids.decode(model.DIFFERENCE_PREFIX, difference)

    async def work(tx: db.Tx) -> dict[str, Any]:
        case = await differences.find_difference(tx, identifier)
        document = differences.difference_document(case, today=SystemClock().now().date())
        steps = await differences.history(tx, identifier)
        return document | {
            "history": [differences.history_document(step) for step in steps],
            "suggestions": await differences.suggest_partners(tx, case),
        }

    print_json(in_transaction(work), indent=None if as_json else 2)


@cases.command("assign")
def assign(
    difference: CaseId,
    owner: Annotated[str, typer.Option("--owner", help="The operator who takes it, opr_….")],
    key: KeyFile,
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Give a difference an owner, or take it over."""
    from hutong import ids, operators
    from hutong.clock import SystemClock
    from hutong.reconciliation import differences, model

    identifier = ids.decode(model.DIFFERENCE_PREFIX, difference)
    owner_id, now = ids.decode(operators.OPERATOR_PREFIX, owner), SystemClock().now()

    async def work(tx: db.Tx) -> dict[str, Any]:
        operator = await operators.authenticate(tx, read_key(key))
        (case,) = await differences.assign(tx, [identifier], owner_id, operator=operator, reason=reason, now=now)
        return differences.difference_document(case, today=now.date())

    document = in_transaction(work)
    if as_json:
        print_json(document)
    else:
        print_line(f"{document['id']} is {document['state']} to {document['owner_id']}")


@resolving.command("one")
def resolve_one(
    difference: CaseId,
    action: Annotated[CaseAction, typer.Argument(metavar="ACTION", help="What ends it.")],
    key: KeyFile,
    reason: Reason,
    partner: Annotated[str | None, typer.Option("--partner", help="For pair, the other difference.")] = None,
    as_json: Json = False,
) -> None:
    """Decide about one difference."""
    from hutong import ids
    from hutong.reconciliation import differences, model

    prefix = model.DIFFERENCE_PREFIX
    partner_id = None if partner is None else ids.decode(prefix, partner)
    decision = differences.CaseDecision(
        ids.decode(prefix, difference), model.DifferenceAction(action), reason, partner_id
    )
    _decide(_given([decision]), key, reason, None, as_json=as_json)


@resolving.command("many")
def resolve_many(
    action: Annotated[CaseAction, typer.Argument(metavar="ACTION", help="What ends them.")],
    key: KeyFile,
    reason: Reason,
    account: Account = None,
    layer: InLayer = None,
    klass: OfClass = None,
    state: InState = None,
    currency: InCurrency = None,
    at_least: AtLeast = None,
    at_most: AtMost = None,
    first_until: FirstUntil = None,
    digest: Annotated[
        str | None, typer.Option("--digest", help="That of the preview: does it. Without it, only previews.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide about all differences that a filter selects: first a preview, then with its digest."""
    from hutong import operators
    from hutong.clock import SystemClock
    from hutong.reconciliation import differences, model

    where = _filter(
        account=account, layer=layer, klass=klass, state=state, currency=currency, at_least=at_least, at_most=at_most,
        first_until=first_until,
    )  # fmt: skip
    chosen = model.DifferenceAction(action)

    async def look(tx: db.Tx) -> differences.Checked:
        operator = await operators.authenticate(tx, read_key(key))
        now = SystemClock().now()
        return await differences.preview(tx, where, chosen, reason=reason, operator=operator, now=now)

    async def select(tx: db.Tx) -> list[differences.CaseDecision]:
        return await differences.select_decisions(tx, where, chosen, reason=reason)

    if digest is None:
        print_json(differences.preview_document(in_transaction(look)), indent=None if as_json else 2)
        return
    _decide(select, key, reason, digest, as_json=as_json)


@resolving.command("file")
def resolve_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or XLSX: an export with decisions and reasons.")],
    key: KeyFile,
    reason: Reason,
    errors: Annotated[
        Path | None, typer.Option("--errors", metavar="FILE", help="Write the lines that were not taken, as CSV.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the decisions of a file; each line is checked, and the others are reported by their number."""
    from hutong.export import to_csv
    from hutong.reconciliation import differences

    check_target(errors, "--errors")
    sheet = differences.read_sheet(file)
    decided = _decided(_given(sheet.decisions), key, reason, None)
    faults = differences.write_faults(sheet, decided.refused)
    if errors is not None:
        errors.write_text("\ufeff" + to_csv(faults), newline="")
    document = _document(decided) | {"refused": faults}
    if as_json:
        print_json(document)
        return
    _print_outcome(document)
    if errors is None:
        print_text(to_csv(faults))


def _print_list(name: str, documents: list[dict[str, Any]], shown: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({name: documents})
    elif documents:
        print_table([{column: document[column] for column in shown} for document in documents])
    else:
        print_line("there is no difference")


def _given(decisions: list[differences.CaseDecision]) -> _Select:
    async def select(_tx: db.Tx) -> list[differences.CaseDecision]:
        return decisions

    return select


def _decided(select: _Select, key: Path, reason: str, digest: str | None) -> differences.CaseDecisions:
    from hutong import operators
    from hutong.clock import SystemClock
    from hutong.reconciliation import differences

    identifiers = make_ids()

    async def work(tx: db.Tx) -> differences.CaseDecisions:
        operator = await operators.authenticate(tx, read_key(key))
        return await differences.decide(
            tx, await select(tx), operator=operator, reason=reason, now=SystemClock().now(),
            new_id=identifiers.new, digest=digest,
        )  # fmt: skip

    return in_transaction(work)


def _decide(select: _Select, key: Path, reason: str, digest: str | None, *, as_json: bool) -> None:
    document = _document(_decided(select, key, reason, digest))
    if as_json:
        print_json(document)
    else:
        _print_outcome(document)
        print_table(document["refused"])


def _document(decided: differences.CaseDecisions) -> dict[str, Any]:
    from hutong import ids, operators
    from hutong.reconciliation import differences, model

    proposal = decided.proposal
    return {
        "proposal_id": None if proposal is None else ids.encode(operators.PROPOSAL_PREFIX, proposal.proposal_id),
        "proposed": 0 if proposal is None else sum(each["count"] for each in proposal.payload["totals"].values()),
        "done": [ids.encode(model.DIFFERENCE_PREFIX, each) for each in decided.done],
        "refused": [differences.refusal_document(each) for each in decided.refused],
    }


def _print_outcome(document: dict[str, Any]) -> None:
    if document["proposal_id"] is not None:
        print_line(f"{document['proposal_id']} waits for another person to approve it: {document['proposed']} cases")
    print_line(f"{len(document['done'])} done at once, {len(document['refused'])} refused")
