"""What belongs to another merchant is absent, on every route. A new route must take its place here."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from hutong import ids, ledger, operators
from support.running_platform import METHOD, Answer, PlatformApi, Shop

FOREIGN = {
    # Routes that name an object: another merchant's is as absent as one that never was.
    ("get", "/v1/payments/{payment_id}"): "payment",
    ("patch", "/v1/payments/{payment_id}"): "payment",
    ("get", "/v1/payments/{payment_id}/timeline"): "payment",
    ("post", "/v1/payments/{payment_id}/attempts"): "payment",
    ("post", "/v1/payments/{payment_id}/cancel"): "payment",
    ("post", "/v1/payments/{payment_id}/capture"): "payment",
    ("post", "/v1/payments/{payment_id}/close"): "payment",
    ("get", "/v1/payments/{payment_id}/refunds"): "payment",
    ("get", "/v1/payments/{payment_id}/items"): "payment",
    ("post", "/v1/payments/{payment_id}/refunds"): "payment",
    ("get", "/v1/refunds/{refund_id}"): "refund",
    ("get", "/v1/disputes/{dispute_id}"): "dispute",
    ("post", "/v1/disputes/{dispute_id}/respond"): "dispute",
    ("post", "/v1/disputes/{dispute_id}/accept"): "dispute",
    ("get", "/v1/bills/{payment_id}"): "payment",
    ("get", "/v1/customers/{customer_id}"): "customer",
    ("get", "/v1/events/{event_id}"): "event",
    ("get", "/v1/webhook-endpoints/{endpoint_id}"): "endpoint",
    ("patch", "/v1/webhook-endpoints/{endpoint_id}"): "endpoint",
    ("delete", "/v1/webhook-endpoints/{endpoint_id}"): "endpoint",
    ("post", "/v1/webhook-endpoints/{endpoint_id}/enable"): "endpoint",
    ("post", "/v1/webhook-endpoints/{endpoint_id}/rotate"): "endpoint",
    ("post", "/v1/webhook-endpoints/{endpoint_id}/replay"): "endpoint",
    ("get", "/v1/webhook-endpoints/{endpoint_id}/deliveries"): "endpoint",
}
BODIES = {
    ("patch", "/v1/payments/{payment_id}"): {"metadata": {"shop": "12"}},
    ("patch", "/v1/webhook-endpoints/{endpoint_id}"): {"enabled": False},
    ("post", "/v1/payments/{payment_id}/attempts"): {"method": METHOD},
    ("post", "/v1/payments/{payment_id}/capture"): {"amount_minor": 1},
    ("post", "/v1/payments/{payment_id}/refunds"): {"merchant_refund_no": "theirs-1", "amount_minor": 1},
    ("post", "/v1/disputes/{dispute_id}/respond"): {"evidence": {"text": "x"}},
    ("post", "/v1/disputes/{dispute_id}/accept"): {},
    ("post", "/v1/webhook-endpoints/{endpoint_id}/rotate"): {"overlap_hours": 1},
    ("post", "/v1/webhook-endpoints/{endpoint_id}/replay"): {"failed": True},
}
LISTS = {
    ("get", "/v1/payments"),
    ("get", "/v1/refunds"),
    ("get", "/v1/events"),
    ("get", "/v1/balance"),
    ("get", "/v1/webhook-endpoints"),
    ("get", "/v1/bills"),
    ("get", "/v1/disputes"),
}
CREATES = {("post", "/v1/payments"), ("post", "/v1/customers"), ("post", "/v1/webhook-endpoints")}
OTHERS = {
    ("post", "/channels/{account_id}/notifications"),  # proven by the channel's signature, not by a key
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/v1/methods"),  # the same for every merchant
    ("get", "/v1/bills/export"),  # not JSON; see test_bills_api
    ("get", "/v1/reconciliation/rows"),  # of one day; see test_reconciled_rows
    ("get", "/v1/reconciliation/rows/export"),
    ("get", "/v1/sandbox/clock"),  # of the whole sandbox; see test_advanced_clock
    ("post", "/v1/sandbox/clock"),
}
HIDDEN = {("post", "/v1/payments/{payment_id}/cancel")}  # served, and described under its other name, `close`

OPERATORS = {  # asked with an operator's key; see test_operator_routes
    ("get", "/v1/operator/bills"),
    ("get", "/v1/operator/bills/export"),
    ("get", "/v1/operator/bills/{payment_id}"),
    ("get", "/v1/operator/bill-sources"),
    ("get", "/v1/operator/payments/{payment_id}"),
    ("get", "/v1/operator/payments/{payment_id}/timeline"),
    ("post", "/v1/operator/payments/{payment_id}/attach-success"),
    ("post", "/v1/operator/refunds/{refund_id}/route"),
    ("post", "/v1/operator/refunds/{refund_id}/settle"),
    ("get", "/v1/operator/disputes"),
    ("get", "/v1/operator/disputes/{dispute_id}"),
    ("post", "/v1/operator/disputes/{dispute_id}/move"),
    ("post", "/v1/operator/payments/{payment_id}/disputes"),
    ("get", "/v1/operator/exceptions"),
    ("get", "/v1/operator/exceptions/{exception_id}"),
    ("post", "/v1/operator/exceptions/{exception_id}/decide"),
    ("post", "/v1/operator/payments/{payment_id}/close"),
    ("post", "/v1/operator/payments/{payment_id}/query"),
    ("get", "/v1/operator/reconciliation/differences"),
    ("get", "/v1/operator/reconciliation/differences/counters"),
    ("post", "/v1/operator/reconciliation/difference-assignments"),
    ("post", "/v1/operator/reconciliation/difference-decisions"),
    ("post", "/v1/operator/reconciliation/difference-previews"),
    ("post", "/v1/operator/reconciliation/difference-resolutions"),
    ("get", "/v1/operator/reconciliation/differences/export"),
    ("post", "/v1/operator/reconciliation/difference-sheets"),
    ("get", "/v1/operator/reconciliation/differences/{difference_id}"),
    ("get", "/v1/operator/reconciliation/differences/{difference_id}/history"),
    ("get", "/v1/operator/reconciliation/differences/{difference_id}/suggestions"),
    ("get", "/v1/operator/reconciliation/files"),
    ("get", "/v1/operator/reconciliation/reports"),
    ("post", "/v1/operator/reconciliation/files"),
    ("get", "/v1/operator/reconciliation/files/{file_id}"),
    ("get", "/v1/operator/reconciliation/runs"),
    ("get", "/v1/operator/reconciliation/requests"),
    ("post", "/v1/operator/reconciliation/requests"),
    ("get", "/v1/operator/reconciliation/requests/{request_id}"),
    ("get", "/v1/operator/reconciliation/bank-accounts"),
    ("post", "/v1/operator/reconciliation/bank-accounts"),
    ("get", "/v1/operator/ledger/accounts"),
    ("post", "/v1/operator/ledger/accounts"),
    ("post", "/v1/operator/ledger/accounts/{account_id}/close"),
    ("post", "/v1/operator/ledger/accounts/{account_id}/reopen"),
    ("post", "/v1/operator/ledger/accounts/{account_id}/overdraft"),
    ("get", "/v1/operator/ledger/accounts/{account_id}/overdrafts"),
    ("get", "/v1/operator/ledger/subjects"),
    ("post", "/v1/operator/ledger/subjects"),
    ("get", "/v1/operator/ledger/transfers"),
    ("post", "/v1/operator/ledger/transfers"),
    ("post", "/v1/operator/ledger/transfers/{transfer_id}/reverse"),
    ("get", "/v1/operator/ledger/holds"),
    ("get", "/v1/operator/ledger/reversals"),
    ("post", "/v1/operator/ledger/entries"),
    ("get", "/v1/operator/ledger/balances"),
    ("get", "/v1/operator/ledger/general-ledger"),
    ("get", "/v1/operator/ledger/general-ledger/accounts"),
    ("get", "/v1/operator/ledger/day-statements"),
    ("get", "/v1/operator/restore"),
    ("post", "/v1/operator/restore/finish"),
    ("post", "/v1/operator/restore/bills/{account_id}/{day}/dismiss"),
    ("get", "/v1/operator/ledger/periods"),
    ("post", "/v1/operator/ledger/periods"),
    ("get", "/v1/operator/ledger/periods/{period}/carries"),
    ("get", "/v1/operator/ledger/standing-orders"),
    ("post", "/v1/operator/ledger/standing-orders"),
    ("post", "/v1/operator/ledger/standing-orders/{order_id}/stop"),
    ("get", "/v1/operator/ledger/memos"),
    ("get", "/v1/operator/ledger/memos/{memo_ledger}"),
    ("get", "/v1/operator/ledger/memos/{memo_ledger}/entries"),
    ("post", "/v1/operator/ledger/memos/{memo_ledger}/entries"),
    ("get", "/v1/operator/audit"),
    ("get", "/v1/routing/decisions/{decision_id}"),
    ("get", "/v1/operator/routing"),
    ("post", "/v1/operator/routing/configurations"),
    ("post", "/v1/operator/routing/overrides"),
    ("post", "/v1/operator/routing/overrides/{override_id}/lift"),
    ("get", "/v1/operator/routing/trials/latest"),
    ("post", "/v1/operator/routing/trials"),
    ("post", "/v1/operator/routing/trials/stop"),
    ("get", "/v1/operator/routing/suggestions"),
    ("post", "/v1/operator/routing/suggestions/{suggestion_id}/confirm"),
    ("post", "/v1/operator/routing/suggestions/{suggestion_id}/dismiss"),
    ("get", "/v1/operator/bill-exceptions"),
    ("get", "/v1/operator/channel-codes"),
    ("post", "/v1/operator/channel-codes"),
    ("get", "/v1/operator/channel-codes/history"),
    ("get", "/v1/operator/channel-codes/unmapped"),
    ("get", "/v1/operator/proposals"),
    ("get", "/v1/operator/proposals/{proposal_id}"),
    ("post", "/v1/operator/proposals/{proposal_id}/approve"),
    ("post", "/v1/operator/proposals/{proposal_id}/reject"),
}


PAGES = ["/openapi.json", "/openapi-operator.json", "/docs", "/docs/operator", "/docs/{name}"]


def test_every_route_has_its_place_here(platform_api: PlatformApi) -> None:
    paths = platform_api.described.whole["paths"]
    routes = {(method, path) for path, operations in paths.items() for method in operations}
    assert routes | HIDDEN == {*FOREIGN, *LISTS, *CREATES, *OTHERS, *OPERATORS}
    assert routes & HIDDEN == set()
    served = {(m.lower(), r.path) for r in platform_api.app.state.routes for m in r.methods}
    pages = {("get", path) for path in PAGES}  # public, and the same for all callers
    assert served == {*routes, *HIDDEN, *pages}, "a route that is not in the document"


@pytest.fixture
async def objects(platform_api: PlatformApi, shop: Shop) -> dict[str, str]:
    """Objects of `shop`."""
    payment = await platform_api.create(shop)
    answer = await platform_api.call(
        "POST", "/v1/webhook-endpoints", shop=shop, json={"url": "http://127.0.0.1:1/hook"}
    )
    await platform_api.call("POST", "/v1/customers", shop=shop, json={"id": "u_1", "name": "张三"})
    await platform_api.call("PATCH", f"/v1/payments/{payment['id']}", shop=shop, json={"metadata": {"shop": "12"}})
    event = (await platform_api.call("GET", f"/v1/events?object_id={payment['id']}", shop=shop)).json["data"][0]
    async with platform_api.database.transaction() as tx:
        await ledger.agree_overdraft(
            tx, shop.merchant_id, "CNY", 1, by="test", reason="x", now=platform_api.clock.now()
        )
    refund_id = await _write_refund(platform_api, ids.decode("pay", payment["id"]))
    dispute_id = await _write_dispute(platform_api, ids.decode("pay", payment["id"]))
    return {
        "payment": payment["id"],
        "endpoint": answer.json["id"],
        "refund": ids.encode("ref", refund_id),
        "dispute": ids.encode("dsp", dispute_id),
        "customer": "u_1",
        "event": event["id"],
    }


async def _write_refund(platform_api: PlatformApi, payment_id: UUID) -> UUID:
    """A refund as the database keeps it; whether there was anything to give back does not matter here."""
    refund_id = uuid4()
    async with platform_api.database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO payments.refund (
                id, payment_id, attempt_id, merchant_id, account_id, channel, kind, merchant_refund_no, amount_minor,
                currency, reason, route, state, hold_id, created_at, finished_at
            )
            SELECT $1, p.id, a.id, p.merchant_id, a.account_id, a.channel, 'refund', 'mine-1', 1, 'CNY', 'x',
                'original', 'failed', $1, p.created_at, p.created_at
            FROM payments.payment AS p JOIN payments.attempt AS a ON a.payment_id = p.id WHERE p.id = $2
            """,
            refund_id,
            payment_id,
        )
    return refund_id


async def _write_dispute(platform_api: PlatformApi, payment_id: UUID) -> UUID:
    """A dispute likewise."""
    dispute_id = uuid4()
    async with platform_api.database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO payments.dispute (
                id, payment_id, attempt_id, merchant_id, account_id, channel, dispute_no, currency, created_at, state,
                amount_minor, taken_minor, fee_minor, held_minor, opened_at, changed_at, source
            )
            SELECT $1, p.id, a.id, p.merchant_id, a.account_id, a.channel, 'd-' || p.merchant_order_no, 'CNY',
                p.created_at, 'under_review', 1, 0, 0, 0, p.created_at, p.created_at, 'operator'
            FROM payments.payment AS p JOIN payments.attempt AS a ON a.payment_id = p.id WHERE p.id = $2
            """,
            dispute_id,
            payment_id,
        )
    return dispute_id


def _at(path: str, identifier: str) -> str:
    return path.partition("{")[0] + identifier + path.partition("}")[2]


def _content(answer: Answer) -> Any:
    return answer.status, {name: value for name, value in answer.json.items() if name != "request_id"}


@pytest.mark.parametrize(("method", "path"), FOREIGN)
async def test_anothers_object_is_absent(
    platform_api: PlatformApi, objects: dict[str, str], method: str, path: str
) -> None:
    stranger = await platform_api.shop()
    before = await platform_api.fingerprint()
    theirs = objects[FOREIGN[method, path]]
    prefix = theirs.partition("_")[0]
    body = BODIES.get((method, path))
    foreign = await platform_api.call(method.upper(), _at(path, theirs), shop=stranger, json=body)
    none = _at(path, f"{prefix}_01h455vb4pex5vsknk084sn02q")
    absent = await platform_api.call(method.upper(), none, shop=stranger, json=body)
    assert foreign.status == 404
    assert _content(foreign) == _content(absent)
    assert set(foreign.headers) == set(absent.headers)
    assert await platform_api.fingerprint() == before


IDS = [
    "x", "pay_", "pay_x", "att_01h455vb4pex5vsknk084sn02q", "PAY_01h455vb4pex5vsknk084sn02q", "%00", "%FF%FE", "%20",
    "pay_01h455vb4pex5vsknk084sn02q%00", "pay_8zzzzzzzzzzzzzzzzzzzzzzzzz", "pay_01H455VB4PEX5VSKNK084SN02Q",
    "a" * 4_000,
    "01890a5d-ac96-774b-bcce-b302099a8057", "%E4%B8%AD", "..%2F..%2Fetc", "%2F", "pay_01h455vb4pex5vsknk084sn02q;x",
]  # fmt: skip


@pytest.mark.parametrize("identifier", IDS, ids=lambda value: value[:40])
@pytest.mark.parametrize(("method", "path"), FOREIGN)
async def test_what_is_no_id_is_absent(
    platform_api: PlatformApi, shop: Shop, method: str, path: str, identifier: str
) -> None:
    body = BODIES.get((method, path))
    answer = await platform_api.call(method.upper(), _at(path, identifier), shop=shop, json=body)
    # An encoded slash may make it a path that only another method has.
    assert (answer.status, answer.json["code"]) in ((404, "not_found"), (405, "method_not_allowed"))


@pytest.mark.parametrize(("method", "path"), sorted(LISTS))
async def test_a_list_shows_nothing_of_anothers(
    platform_api: PlatformApi, objects: dict[str, str], method: str, path: str
) -> None:
    stranger = await platform_api.shop()
    answer = await platform_api.call(method.upper(), path, shop=stranger)
    assert (answer.status, answer.json["data"]) == (200, [])
    if path == "/v1/payments":
        newest = "pay_7zzzzzzzzzzzzzzzzzzzzzzzzz"
        assert (await platform_api.call("GET", f"{path}?cursor={newest}", shop=stranger)).json["data"] == []


@pytest.mark.parametrize(("method", "path"), sorted({*FOREIGN, *LISTS, *CREATES}))
async def test_every_route_of_merchants_asks_for_a_key(platform_api: PlatformApi, method: str, path: str) -> None:
    body = b"{}" if (method, path) in {*CREATES, *BODIES} else None
    answer = await platform_api.call(method.upper(), _at(path, "x") if "{" in path else path, body=body)
    assert (answer.status, answer.json["param"]) == (401, "Authorization")


@pytest.mark.parametrize(("method", "path"), sorted(OPERATORS))
async def test_a_merchants_key_opens_no_route_of_operators(
    platform_api: PlatformApi, shop: Shop, method: str, path: str
) -> None:
    body = b'{"reason":"x"}' if method == "post" else None
    for given in (shop, None):
        answer = await platform_api.call(method.upper(), _at(path, "x") if "{" in path else path, shop=given, body=body)
        assert (answer.status, answer.json["param"]) == (401, "Authorization")


@pytest.mark.parametrize(("method", "path"), sorted({*FOREIGN, *LISTS, *CREATES}))
async def test_an_operators_key_opens_no_route_of_merchants(platform_api: PlatformApi, method: str, path: str) -> None:
    _, headers = await platform_api.person(operators.Role.ADMIN)
    body = b"{}" if (method, path) in {*CREATES, *BODIES} else None
    answer = await platform_api.call(
        method.upper(), _at(path, "x") if "{" in path else path, body=body, headers=headers
    )
    assert (answer.status, answer.json["param"]) == (401, "Authorization")
