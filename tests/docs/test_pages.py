"""The documentation says what the code does: every error, alert, event, setting and command, and it builds."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import hutong
from hutong import customers, events, ledger, payments, reconciliation
from hutong.api import ERROR_CODES
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.unionpay.adapter import UnionPay
from hutong.channels.wechat.adapter import WeChatPay
from hutong.errors import HutongError
from hutong.idempotency import KEY_EFFECTS, KeyEffect
from hutong.payments.disputes import DISPUTE_TRANSITIONS, DisputeEventType
from hutong.payments.model import ATTEMPT_TRANSITIONS, PAYMENT_TRANSITIONS
from hutong.payments.refunds.model import REFUND_TRANSITIONS, RefundEventType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "hutong"
LEVELS = ("warning", "error", "exception", "critical")


def error_classes(root: type[HutongError] = HutongError) -> Iterator[type[HutongError]]:
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


def codes() -> dict[str, int | None]:
    """Every code with its status: the errors' own, and those that the API makes of what its framework says."""
    for module in pkgutil.walk_packages(hutong.__path__, "hutong."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    problem = importlib.import_module("hutong.api.problems")
    found: dict[str, int | None] = {error.code: error.http_status for error in error_classes()}
    found |= {code: None for code in problem._VALIDATION_CODES.values() if code not in found}
    found |= {code: status for status, code in problem._STATUS_CODES.items() if code not in found}
    for call in ast.walk(ast.parse(inspect.getsource(problem))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "problem_response":
            code = call.args[2]
            if isinstance(code, ast.Constant):
                found.setdefault(code.value, None)
    return found


def test_every_error_code_has_its_effect_on_a_key_and_the_page_names_those_that_have_any() -> None:
    assert set(KEY_EFFECTS) == set(codes())
    text = (DOCS / "concepts" / "idempotency.md").read_text()
    for effect in (KeyEffect.KEPT, KeyEffect.FREED):
        table = text[text.index(f"\n| {effect.value} |") :].split("\n\n")[0]
        named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.strip().splitlines())))
        # The API never answers with the first two, and the third stops the platform.
        expected = {code for code, own in KEY_EFFECTS.items() if own is effect}
        assert named == expected - {"channel_unreachable", "configuration_error", "invariant_broken"}


def test_every_error_code_has_a_heading_and_every_heading_a_code(parts: dict[str, str]) -> None:
    headings = re.findall(r"^## (\w+)$", parts["errors.md"], re.MULTILINE)
    assert headings == sorted(codes())


def test_every_error_code_says_what_it_means_where_it_comes_from_and_what_to_do() -> None:
    for code, entry in ERROR_CODES.items():
        for text in (entry.meaning, entry.cause, entry.action):
            assert re.fullmatch(r"[A-Z`].{10,}\.", text, re.DOTALL), (code, text)
    assert list(ERROR_CODES) == sorted(ERROR_CODES)


def test_headings_of_errors_name_the_status_that_is_answered(parts: dict[str, str]) -> None:
    text = parts["errors.md"]
    documented = {code: int(status) for code, status in re.findall(r"^## (\w+)\n\n(\d{3})\. ", text, re.MULTILINE)}
    assert documented.keys() == codes().keys()
    assert {code: documented[code] for code, status in codes().items() if status} == {
        code: status for code, status in codes().items() if status
    }


def test_every_alert_in_the_log_says_what_to_do() -> None:
    table = (DOCS / "guides" / "operating.md").read_text().partition("(alerts)=")[2]
    documented = set(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE))
    logged = set()
    for path in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "RareLine":
                _, level, event = call.args
                assert isinstance(level, ast.Constant)
                assert isinstance(event, ast.Constant)
                logged.add((event.value, level.value))
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            level, logger = call.func.attr, call.func.value
            if isinstance(logger, ast.Name) and logger.id in ("_log", "log") and level in LEVELS:
                assert isinstance(call.args[0], ast.Constant)
                logged.add((call.args[0].value, "error" if level == "exception" else level))
    assert sorted(documented) == sorted(logged)


def test_every_event_type_is_documented(parts: dict[str, str]) -> None:
    text = parts["events.md"] + parts["platform-events.md"]
    documented = re.findall(r"^\| `(\w+\.\w+)`", text, re.MULTILINE)
    assert sorted(documented) == sorted(
        [
            *payments.PaymentEventType,
            *RefundEventType,
            *DisputeEventType,
            customers.CUSTOMER_UPDATED,
            events.ENDPOINT_DISABLED,
            *reconciliation.runs.ReconciliationEventType,
        ]
    )


@pytest.mark.parametrize(("guide", "adapter"), [("wechat", WeChatPay), ("stripe", Stripe), ("unionpay", UnionPay)])
def test_every_credential_of_a_channel_is_documented(
    guide: str, adapter: type[WeChatPay] | type[Stripe] | type[UnionPay]
) -> None:
    text = (DOCS / "guides" / f"{guide}.md").read_text().partition("| field | what |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(adapter.Credentials.model_fields)


def test_every_operation_is_on_the_page_and_every_link_to_an_object_has_its_end(parts: dict[str, str]) -> None:
    import http_page

    documents = http_page.documents()
    for name, audience in (("http.md", "merchant"), ("http-operator.md", "operator")):
        page = parts[name]
        for path, operations in documents[audience]["paths"].items():
            for method in operations:
                assert f"\n{method.upper()} {path} HTTP/1.1\n" in page
        wanted = set(re.findall(r"\(#((?:operator-)?object-\w+)\)", page))
        assert wanted
        assert wanted <= set(re.findall(r"^\(([\w-]*object-\w+)\)=$", page, re.MULTILINE))


@pytest.mark.parametrize("name", ["payment", "attempt", "refund", "dispute"])
def test_diagrams_show_every_state_and_transition(name: str, parts: dict[str, str]) -> None:
    transitions = {
        "payment": PAYMENT_TRANSITIONS,
        "attempt": ATTEMPT_TRANSITIONS,
        "refund": REFUND_TRANSITIONS,
        "dispute": DISPUTE_TRANSITIONS,
    }[name]
    drawn = parts[f"{name}-states.svg"]
    assert drawn.count("<path d=") - 1 == sum(len(ends) for ends in transitions.values())  # one is the arrow's tip
    assert re.findall(r">(\w+)</text>", drawn) == [str(state) for state in transitions]


def test_documented_waits_are_those_of_the_code() -> None:
    retry = importlib.import_module("hutong.events.webhooks.retry")
    webhooks = " ".join((DOCS / "concepts" / "webhooks.md").read_text().split())
    assert f"repeated after {_spoken(retry._DELAYS_S)}: {retry.ATTEMPTS_MAX} attempts" in webhooks
    model = importlib.import_module("hutong.payments.model")
    cadence = [wait.total_seconds() for wait in model.QUERY_CADENCE]
    questions = " ".join((DOCS / "concepts" / "payments.md").read_text().split())
    documented = "after 5 s, then 10 s, 30 s, 1, 2, 5, 10, 30 minutes, then every hour"
    assert documented in questions
    assert cadence == [5, 10, 30, 60, 120, 300, 600, 1800, 3600]


def _spoken(waits_s: Iterable[int]) -> str:
    """Waits as the page says them: seconds, then minutes, then hours."""
    units = ((1, 60, "s"), (60, 3600, "minutes"), (3600, 10**9, "hours"))
    waits = list(waits_s)
    return ", then ".join(
        ", ".join(str(wait // size) for wait in waits if size <= wait < limit) + f" {unit}"
        for size, limit, unit in units
    )


class _Loads(HTMLParser):
    """What a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.urls.append(given.get("src") or "")
        if tag == "link" and given.get("rel") not in ("canonical", "index", "search", "next", "prev", "author"):
            self.urls.append(given.get("href") or "")


def test_documentation_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    subprocess.run([*command, str(DOCS), str(tmp_path / "html")], check=True)
    pages = list((tmp_path / "html").rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loads = _Loads()
        loads.feed(page.read_text())
        assert [url for url in loads.urls if urlsplit(url).netloc] == [], page
    for sheet in (tmp_path / "html").rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text()), sheet


def test_the_tables_of_the_books_are_those_of_the_code(parts: dict[str, str]) -> None:
    page = (ROOT / "docs" / "concepts" / "books.md").read_text()
    for name, table in (("chart.md", ledger.CHART), ("postings.md", ledger.EVENTS)):
        codes = [int(code) for code in re.findall(r"^\| (\d+) \|", parts[name], re.MULTILINE)]
        assert sorted(set(codes)) == sorted(table)
        assert f"_generated/{name}" in page
