"""The README and the merchant's guides do what they say: their commands run as printed, and their examples too."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hutong.config import Settings
from hutong.demo import RunningPlatform
from support import let_through, unavailable
from support.command_line import run_here
from support.guides import CHINESE as CHINESE_PAGES
from support.guides import ROOT, blocks, consoles, guide, hutong_arguments, steps

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
VOLATILE = (
    (re.compile(r"\b(pay|att|acc|mer|key|whe|evt|req)_[0-9a-z]{26}"), r"\1_…"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "INSTANT"),
    (re.compile(r"weixin://\S+?(?=[\"\s])"), "CODE"),
    (re.compile(r"token=[\w-]+"), "token=…"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "ADDRESS"),
)


def settled(text: str) -> str:
    """The text without what is different each time."""
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return text.strip()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform of the tests' own, with its data where nobody else's is."""
    home = tmp_path_factory.mktemp("readme")
    let_through(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUTONG_HOME", str(home))
        running = RunningPlatform(Settings(), own=True)
        yield running
        running.stop()


@pytest.fixture
def surroundings(platform: RunningPlatform) -> dict[str, str]:
    """The environment of somebody who follows the README while the platform runs."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return os.environ | {
        "HUTONG": platform.address,
        "SANDBOX": platform.sandbox_address,
        "HOOK_PORT": str(port),
        "HUTONG_HOME": str(platform.settings.home),
    }


def test_session_runs_as_printed_and_prints_what_is_printed(surroundings: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        unavailable("curl is not installed")
    mark = f"--{secrets.token_hex(8)}--"
    script = ["set -euo pipefail"]
    expected: list[str] = []
    for language, text in blocks(ENGLISH.read_text()):
        if language == "bash":
            script += [text, f"echo {mark}"]
            expected.append("")
        elif language in ("json", "text"):
            expected[-1] = text
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = [settled(part) for part in done.stdout.split(mark)[:-1]]
    assert printed == [settled(text) for text in expected]


def test_both_languages_have_the_same_form() -> None:
    """Headings by level, lists, tables, parts that other pages include, and pages that are linked."""
    for pattern in (r"^#+ ", r"^- ", r"^\|", r"^<!-- .* -->$"):
        english, chinese = (re.findall(pattern, path.read_text(), re.MULTILINE) for path in (ENGLISH, CHINESE))
        assert chinese == english, pattern
    english, chinese = (set(re.findall(r"\]\(docs/([^)#]+\.md)", path.read_text())) for path in (ENGLISH, CHINESE))
    originals = {f"zh-CN/{page}": original for page, original in CHINESE_PAGES.items()}
    assert {originals.get(page, page) for page in chinese} == english - {"accept-payments.md"}  # in Chinese: the index


def test_both_languages_give_the_same_commands_and_answers() -> None:
    assert blocks(CHINESE.read_text()) == blocks(ENGLISH.read_text())


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_every_setting_is_documented_with_its_default(path: Path, parts: dict[str, str]) -> None:
    text = path.read_text().replace("| 未设置 |", "| unset |")
    documented = re.findall(r"^\| (`HUTONG_\w+` \| [^|]+) \|", text, re.MULTILINE)
    assert documented == re.findall(r"^\| (`HUTONG_\w+` \| [^|]+) \|", parts["settings.md"], re.MULTILINE)
    if path is ENGLISH:
        assert parts["settings.md"] in path.read_text()


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_verification_shown_is_the_one_that_the_example_runs() -> None:
    (shown,) = [text for language, text in blocks(ENGLISH.read_text()) if language == "python"]
    assert shown in (ROOT / "examples" / "webhook_receiver.py").read_text()
    assert len(shown.strip().splitlines()) <= 8


def test_create_payment_example_takes_a_payment(surroundings: dict[str, str], platform: RunningPlatform) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "hutong", "merchant", "create", "Example", "--json"],
        env=surroundings,
        capture_output=True,
        text=True,
        check=True,
    )
    environment = surroundings | {"KEY": json.loads(made.stdout)["api_key"]}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "create_payment.py"), "2001", "1250"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as example:
        assert example.stdout is not None
        link = example.stdout.readline()
        assert settled(link) == "send the payer to ADDRESS/pay/pay_…?token=…"
        _pay_in_the_cashier(link.split()[-1], platform)
        assert example.stdout.read() == "2001 succeeded 1250 CNY\n"
        assert example.wait(240) == 0


def _pay_in_the_cashier(link: str, platform: RunningPlatform) -> None:
    page, _, token = link.partition("?token=")
    headers = {"X-Checkout-Token": token, "Content-Type": "application/json"}
    state = _call(f"{page}/attempts", headers, {"method": "wechat_native"})
    while not state["sandbox_payer_url"]:
        time.sleep(0.2)
        state = _call(f"{page}/status", headers)
    _, _, code = str(state["sandbox_payer_url"]).partition("code_url=")
    _call(f"{platform.sandbox_address}/control/wechat/pay", headers, {"code_url": _unquoted(code)})


def _call(url: str, headers: dict[str, str], body: dict[str, str] | None = None) -> dict[str, object]:
    from urllib.request import Request, urlopen

    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, headers), timeout=60) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text.partition("&")[0])


def environment_of_a_merchant(surroundings: dict[str, str], port: int) -> dict[str, str]:
    """The surroundings with a merchant's key and the secret of their webhook, which is at this port."""
    line, webhook = (step for block in consoles(guide("accepting-a-payment.md")) for step, _ in steps(block))
    made = json.loads(output_of(line.replace(":9000", f":{port}"), surroundings))
    known = surroundings | {"KEY": made["api_key"]}
    return known | {"WEBHOOK_SECRET": json.loads(output_of(webhook.replace(":9000", f":{port}"), known))["secret"]}


def output_of(line: str, environment: dict[str, str]) -> str:
    """The output of a line of a guide, at the platform of the tests."""
    line = line.replace(".venv/bin/hutong", f"{sys.executable} -m hutong")
    line = line.replace("http://127.0.0.1:8080", environment["HUTONG"])
    done = subprocess.run(["bash", "-c", re.sub("^curl -sS? ", "curl -sS --fail-with-body ", line)], env=environment,
                          capture_output=True, text=True, check=False, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def test_shop_written_from_the_guide_sells_and_shows_the_result(
    surroundings: dict[str, str], platform: RunningPlatform
) -> None:
    source = ROOT / "examples" / "shop.py"
    assert len([line for line in source.read_text().partition('"""\n\n')[2].splitlines() if line.strip()]) <= 50
    port = int(surroundings["HOOK_PORT"])
    known = environment_of_a_merchant(surroundings, port)
    with subprocess.Popen([sys.executable, str(source), str(port)], env=known, stderr=subprocess.DEVNULL) as shop:
        try:
            assert '<form method="post" action="/buy">' in until_served(f"http://127.0.0.1:{port}/")
            bought = output_of(f"curl -sS -i -d '' http://127.0.0.1:{port}/buy", known)
            assert " 303 " in bought.splitlines()[0]
            link = re.findall(r"^Location: (\S+)", bought, re.MULTILINE)[0]
            (order_no,) = {payment["merchant_order_no"] for payment in own_payments(known)}
            result = f"http://127.0.0.1:{port}/orders/{order_no}"
            assert until_served(result) == f"Order {order_no}: open"
            forged = json.dumps({"type": "payment.succeeded", "data": {"merchant_order_no": order_no}})
            refused = output_of(f"curl -sS -o /dev/null -w '%{{http_code}}' -d '{forged}' {result} || true", known)
            assert (refused, until_served(result)) == ("400", f"Order {order_no}: open")
            _pay_in_the_cashier(link, platform)
            limit = time.monotonic() + 240
            while until_served(result) != f"Order {order_no}: paid":
                assert time.monotonic() < limit
                time.sleep(0.2)
        finally:
            shop.terminate()


def until_served(url: str) -> str:
    from urllib.request import urlopen

    for _ in range(200):
        try:
            with urlopen(url, timeout=60) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def own_payments(known: dict[str, str]) -> list[dict[str, str]]:
    found = output_of('curl -sS -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/v1/payments', known)
    payments: list[dict[str, str]] = json.loads(found)["data"]
    return payments


class Merchant:
    """A merchant whose payments the sandbox's payers pay, at the platform of the tests."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known
        self._count = 0

    def call(self, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {self.known['KEY']}", "Content-Type": "application/json"}
        return _call(self.known["HUTONG"] + path, headers, body)  # type: ignore[arg-type]

    def order(self, method: str, *, paid: bool = False) -> tuple[str, str]:
        """Place an order; return the ids of the payment and of its attempt."""
        self._count += 1
        payment = self.call("/v1/payments", {"merchant_order_no": f"G-{self._count}", "amount_minor": 1999,
                                             "currency": "CNY", "subject": "排骨", "method": method})  # fmt: skip
        attempt = payment["attempts"][0]["id"]  # type: ignore[index]
        if paid:
            _call(f"{self.known['SANDBOX']}/control/wechat/pay", {}, {"order_no": attempt})
            self.wait(f"/v1/payments/{payment['id']}", "status", "succeeded")
        return str(payment["id"]), attempt

    def refund(self, state: str) -> str:
        """Refund a new payment, and wait until the refund is in this state; return its number."""
        payment, _ = self.order("wechat_native", paid=True)
        refund = self.call(f"/v1/payments/{payment}/refunds", {"merchant_refund_no": f"R-{self._count}"})
        limit = time.monotonic() + 240
        while self.call(f"/v1/payments/{payment}/refunds")["data"][0]["state"] != state:  # type: ignore[index]
            assert time.monotonic() < limit
            time.sleep(0.2)
        return str(refund["id"])

    def wait(self, path: str, field: str, value: str) -> None:
        limit = time.monotonic() + 240
        while self.call(path)[field] != value:
            assert time.monotonic() < limit
            time.sleep(0.2)


def test_commands_of_the_merchants_guides_run_as_printed(surroundings: dict[str, str]) -> None:
    known = environment_of_a_merchant(surroundings, int(surroundings["HOOK_PORT"]))
    merchant = Merchant(known)
    known["PAYMENT"], _ = merchant.order("wechat_native", paid=True)
    for page in ("refunding.md", "receiving-webhooks.md"):
        for line, printed in (step for block in consoles(guide(page)) for step in steps(block)):
            assert printed == []
            answer = json.loads(output_of(line, known))
            if "/webhook-endpoints " in line:
                known["ENDPOINT"] = answer["id"]
            if "2026-000123-R1" in line:
                assert (answer["amount_minor"], answer["merchant_refund_no"]) == (500, "2026-000123-R1")
    assert {delivery["object"] for delivery in answer["data"]} <= {"webhook_delivery"}  # of what was replayed
    search = (ROOT / "docs" / "concepts" / "payment-records.md").read_text()  # "payment-records.md"
    ((line, _),) = steps(consoles(search)[0])
    limit = time.monotonic() + 240
    while not (found := json.loads(output_of(line, known))["data"]):
        assert time.monotonic() < limit
        time.sleep(0.2)
    assert [record["id"] for record in found] == [known["PAYMENT"]]


def test_commands_of_the_sandboxs_guide_run_as_printed(
    surroundings: dict[str, str],
    platform: RunningPlatform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    merchant = Merchant(environment_of_a_merchant(surroundings, int(surroundings["HOOK_PORT"])))
    monkeypatch.setenv("HUTONG_HOME", surroundings["HUTONG_HOME"])
    monkeypatch.setenv("HUTONG_SANDBOX_PORT", str(platform.settings.sandbox_port))
    _, alipay = merchant.order("alipay_qr")
    numbers = {
        "scan alipay att_…": lambda: alipay,
        "pay alipay att_…": lambda: alipay,
        "decline wechat att_…": lambda: merchant.order("wechat_native")[1],
        "portal-refund wechat att_…": lambda: merchant.order("wechat_native", paid=True)[1],
        "refund wechat ref_… --failed": lambda: merchant.refund("submitted"),
        "return-refund wechat ref_…": lambda: merchant.refund("succeeded"),
    }
    pages = ("sandbox.md", "test-clock.md")  # the clock last: it is that of all tests here
    printed_steps = [step for page in pages for block in consoles(guide(page)) for step in steps(block)]
    for line, printed in printed_steps:
        arguments = hutong_arguments(re.sub(r"(att|ref)_…", number_of(line, numbers), line))
        if arguments is None:
            output = output_of(line, merchant.known)
        else:
            done = run_here(monkeypatch, capsys, *arguments)
            assert done.returncode == 0, f"{line}: {done}"
            output = done.stdout
        assert settled(output) == settled("\n".join(printed)) if printed else json.loads(output)
    assert len(printed_steps) > 10


def number_of(line: str, numbers: dict[str, Callable[[], str]]) -> str:
    return next((make() for part, make in numbers.items() if f" sandbox {part}" in line), "")
