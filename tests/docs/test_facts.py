"""Lists of the documentation that the code has too: prefixes of ids, requests with a key, and what is compared."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from hutong.api.schemas.payment import PaymentCreate
from support.guides import DOCS, ROOT
from support.sources import tree

SOURCE = ROOT / "src" / "hutong"
GIVEN = re.compile(
    r"""\b(?:encode|decode|id_cursor|read_cursor)\(\s*"([a-z]{3})"|PREFIX(?:: [\w\[\]]+)? = "([a-z]{3})"$""",
    re.MULTILINE,
)
"""Three letters that are given to the functions that write and read ids, or that a constant calls a prefix."""


def prefixes() -> Iterator[str]:
    for path in SOURCE.rglob("*.py"):
        yield from (one or other for one, other in GIVEN.findall(path.read_text()))


def test_every_prefix_of_an_id_is_documented() -> None:
    page = (DOCS / "concepts" / "identifiers.md").read_text()
    documented = re.findall(r"^\| `([a-z]{3})` \|", page, re.MULTILINE)
    assert sorted(documented) == sorted(set(prefixes()) - {"gbk"})  # the last is an encoding


def test_every_request_that_takes_a_key_is_documented_and_the_others_too() -> None:
    page = (DOCS / "concepts" / "idempotency.md").read_text()
    with_key = section(page, "The Idempotency-Key header")
    without = section(page, "The other requests")
    expected: dict[bool, set[str]] = {True: set(), False: set()}
    import http_page

    for path, operations in http_page.documents()["merchant"]["paths"].items():
        if path.startswith("/v1/") and "post" in operations:
            expected[takes_key(operations["post"])].add(f"POST {path}")
    assert set(re.findall(r"`(POST /v1/[^`]+)`", with_key)) == expected[True]
    assert expected[False] - set(re.findall(r"`(POST /v1/[^`]+)`", without)) == set()


def takes_key(operation: dict[str, Any]) -> bool:
    return any(parameter["name"].lower() == "idempotency-key" for parameter in operation.get("parameters", []))


def section(page: str, heading: str) -> str:
    return page.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_the_page_says_of_each_field_of_an_order_whether_it_is_compared() -> None:
    text = section((DOCS / "concepts" / "idempotency.md").read_text(), "The order number")
    text = " ".join(text.partition("What is compared is")[2].partition("are not.")[0].split())
    compared, _, ignored = text.partition(". `expires_at`")
    named = set(re.findall(r"`(\w+)`", compared))
    not_compared = {"expires_at", *re.findall(r"`(\w+)`", ignored)}
    assert named | not_compared | {"merchant_order_no"} == set(PaymentCreate.model_fields)
    source = ast.unparse(tree(SOURCE / "payments" / "create.py"))
    function = source.partition("def _same_details")[2].partition("\ndef ")[0]
    assert named - {"amount_minor", "currency"} == set(re.findall(r"order\.(\w+)", function))


def test_what_is_there_and_the_session_stand_once() -> None:
    """The list of what is there, the installation and the session are the README's; pages include them."""
    for page, readme in (("index.md", "../README.md"), ("zh-CN/index.md", "../../README.zh-CN.md")):
        assert f"```{{include}} {readme}\n:start-after: <!-- what is there -->" in (DOCS / page).read_text()
    for page, readme in (("quickstart.md", "../README.md"), ("zh-CN/quickstart.md", "../../README.zh-CN.md")):
        for part in ("install", "session"):
            assert f"```{{include}} {readme}\n:start-after: <!-- {part} -->" in (DOCS / page).read_text()
    assert [
        path for path in DOCS.rglob("*.md") if re.search(r"^Not yet: |^未实现：", path.read_text(), re.MULTILINE)
    ] == []


def test_every_page_is_behind_one_of_the_doors() -> None:
    doors = ("accept-payments.md", "run-hutong.md", "work-on-hutong.md")
    listed = [
        re.findall(r"^(?:guides|concepts|reference)/[\w-]+$", (DOCS / door).read_text(), re.MULTILINE) for door in doors
    ]
    pages = [name for names in listed for name in names]
    assert len(pages) == len(set(pages))
    expected = {str(path.relative_to(DOCS).with_suffix("")) for folder in ("guides", "concepts", "reference")
                for path in (DOCS / folder).glob("*.md")}  # fmt: skip
    assert set(pages) == expected
