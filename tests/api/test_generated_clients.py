"""What generators make of the OpenAPI documents: no warning, our names, and a client that takes a payment.

The generators and what they need are no part of the development environment: the one for Python would hold back the
product's own packages. Both are fetched in a fixed version, once per machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import unavailable
from support.running_platform import PlatformApi

PYTHON_GENERATOR = "openapi-python-client==0.29.1"
TYPESCRIPT = ["--package=openapi-typescript@7.13.0", "--package=typescript@5.9.3"]

A_PAYMENT = """
import sys
from client import AuthenticatedClient
from client.api.payments import create_payment, get_payment, list_payments
from client.models import Payment, PaymentCreate, PaymentStatus, Problem

shop = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2], raise_on_unexpected_status=True)
order = PaymentCreate(merchant_order_no="client-1", amount_minor=1999, currency="CNY", subject="Example Store",
                      method="wechat_native")
made = create_payment.sync(client=shop, body=order, idempotency_key="client-1")
assert isinstance(made, Payment), made
assert made.status is PaymentStatus.PROCESSING and made.attempts[0].method == "wechat_native"
assert create_payment.sync(client=shop, body=order, idempotency_key="client-1") == made
assert get_payment.sync(made.id, client=shop).id == made.id
assert [one.id for one in list_payments.sync(client=shop, status=PaymentStatus.PROCESSING, limit=10).data] == [made.id]
order.amount_minor = 1
refused = create_payment.sync(client=shop, body=order)
assert isinstance(refused, Problem) and refused.code == "order_no_reused", refused
print(made.id)
"""
USED = """
import type { components, operations, paths, webhooks } from "./merchant";

type Payment = components["schemas"]["Payment"];
const order: operations["create_payment"]["requestBody"]["content"]["application/json"] = {
    merchant_order_no: "2026-000123", amount_minor: 1999, currency: "CNY", subject: "Example Store", payer: {},
    capture_method: "manual", items: [], discounts: [], metadata: { basket: "77" },
};
const list: NonNullable<paths["/v1/payments"]["get"]["parameters"]["query"]> = { limit: 10, status: "processing" };
const status: Payment["status"] = "succeeded";
// @ts-expect-error: the enumeration is closed
const unknownStatus: Payment["status"] = "paid";
const anyMethod: components["schemas"]["PaymentMethod"] = "a_method_of_tomorrow";
type Succeeded = webhooks["payment.succeeded"]["post"]["requestBody"]["content"]["application/json"];
export const amount = (event: Succeeded): number => event.data.amount_captured_minor;
// @ts-expect-error: the type of the event is a constant
export const wrong = (event: Succeeded): "payment.closed" => event.type;
console.log(order, list, status, unknownStatus, anyMethod);
"""


def run(command: list[str], folder: Path) -> str:
    """Run a program and return all that it prints."""
    done = subprocess.run(
        command, cwd=folder, check=False, timeout=200, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode and not _is_fetched(done.stdout):
        unavailable(f"{command} cannot be fetched: {done.stdout[-400:]}")
    assert done.returncode == 0, done.stdout
    return done.stdout


def _is_fetched(output: str) -> bool:
    return not any(text in output for text in ("npm error network", "Failed to fetch", "npm error code E"))


def tool(*command: str) -> list[str]:
    """A command in the environment of the generator for Python, which has what its clients need."""
    uv = str(Path(sys.executable).with_name("uv"))
    return [uv, "tool", "run", "--quiet", "--python", sys.executable, "--from", PYTHON_GENERATOR, *command]


def write(folder: Path, document: Any) -> None:
    (folder / "document.json").write_text(json.dumps(document))


def generate(folder: Path) -> str:
    options = ["--path", "document.json", "--output-path", "client", "--meta", "none", "--fail-on-warning"]
    (folder / "config.yml").write_text("post_hooks: []\n")
    return run(tool("openapi-python-client", "generate", *options, "--config", "config.yml"), folder)


async def test_python_clients_have_our_names_and_one_takes_a_payment(platform_api: PlatformApi, tmp_path: Path) -> None:
    documents = {"merchant": platform_api.described.merchant, "operator": platform_api.described.operator}
    for audience, document in documents.items():
        (tmp_path / audience).mkdir()
        write(tmp_path / audience, document)
    printed = await asyncio.gather(*(asyncio.to_thread(generate, tmp_path / audience) for audience in documents))
    assert [text.strip() for text in printed] == ["Generating client"] * 2
    for audience, document in documents.items():
        client = tmp_path / audience / "client"
        functions = {path.stem for path in (client / "api").glob("*/*.py")} - {"__init__"}
        assert functions == {one["operationId"] for path in document["paths"].values() for one in path.values()}
        models = {path.stem for path in (client / "models").glob("*.py")}
        assert {"payment", "payment_status", "problem"} <= models
        assert [name for name in models if "_type_" in name or name.endswith("_object")] == []
    shop = await platform_api.shop()
    (tmp_path / "merchant" / "pay.py").write_text(A_PAYMENT)
    command = tool("python", "pay.py", platform_api.url, shop.key)
    paid = await asyncio.to_thread(run, command, tmp_path / "merchant")
    assert (await platform_api.get(shop, paid.strip()))["merchant_order_no"] == "client-1"


def test_typescript_types_are_strict_and_have_our_names(platform_api: PlatformApi, tmp_path: Path) -> None:
    write(tmp_path, platform_api.described.merchant)
    (tmp_path / "use.ts").write_text(USED)
    check = "openapi-typescript document.json -o merchant.d.ts && tsc --noEmit --strict --lib es2022,dom use.ts"
    printed = run(["npm", "exec", "--yes", *TYPESCRIPT, "--call", check], tmp_path)
    assert "warn" not in printed.lower(), printed
    assert "error" not in printed.lower(), printed
