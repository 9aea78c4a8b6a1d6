"""The Chinese pages follow their English ones: the same headings, the same blocks, the same codes and fields."""

from __future__ import annotations

import re

import pytest

from hutong.api import ERROR_CODES
from support.guides import CHINESE, DOCS, ROOT

BLOCK = re.compile(r"^```(?!\{image)(\S.*)\n(?:.*\n)*?```$", re.MULTILINE)
DEPRECATED = {
    "请款": "预授权完成",
    "双人维护": "双人复核",
    "渠道码表": "渠道响应码映射",
    "已有与未有": "已实现与未实现",
    "尚无：": "未实现",
    "任取": "自动选择",
    "挂掉": "中断",
    "捞起": "继续处理",
    "亲眼": "演示",
}
"""Terms that were in use here once, and the term that the trade uses."""


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def test_every_chinese_page_has_its_english_one() -> None:
    assert {page.name for page in (DOCS / "zh-CN").glob("*.md")} == CHINESE.keys()


@pytest.mark.parametrize(("page", "original"), CHINESE.items())
def test_a_chinese_page_has_the_headings_and_the_blocks_of_its_english_one(page: str, original: str) -> None:
    chinese, english = (DOCS / "zh-CN" / page).read_text(), (DOCS / original).read_text()
    if page == "errors.md":  # the codes are compared below, with those of the code
        chinese, english = chinese.partition("\n## ")[0], english.partition("\n```{include}")[0]
    levels = [re.findall(r"^(#+) ", prose(text), re.MULTILINE) for text in (chinese, english)]
    assert levels[0] == levels[1]
    if page not in ("index.md", "quickstart.md"):  # these include their blocks from the README of each language
        assert [block[0] for block in BLOCK.finditer(chinese)] == [block[0] for block in BLOCK.finditer(english)]


@pytest.mark.parametrize(("page", "original"), CHINESE.items())
def test_a_chinese_page_and_its_english_one_lead_to_each_other(page: str, original: str) -> None:
    depth = "../" * original.count("/")
    assert f"[中文]({depth}zh-CN/{page})" in (DOCS / original).read_text() or page == "index.md"
    assert f"[English](../{original})" in (DOCS / "zh-CN" / page).read_text()


@pytest.mark.parametrize(("page", "original"), CHINESE.items())
def test_tables_of_a_chinese_page_name_what_its_english_one_names(page: str, original: str) -> None:
    """Fields, methods, faults and codes in the first column; the table of facts stands in English alone."""
    chinese, english = ((DOCS / name).read_text().partition("\n## Facts\n")[0] for name in (f"zh-CN/{page}", original))
    first = [re.findall(r"^\| (?:\d{3} )?(`\w+`)", prose(text), re.MULTILINE) for text in (chinese, english)]
    assert first[0] == first[1]


def test_errors_have_the_same_codes_and_statuses_in_chinese() -> None:
    chinese = re.findall(r"^## (\w+)\n\n(\d{3})。", (DOCS / "zh-CN" / "errors.md").read_text(), re.MULTILINE)
    assert chinese == [(code, str(entry.status)) for code, entry in sorted(ERROR_CODES.items())]


@pytest.mark.parametrize(
    "page", [*(f"docs/zh-CN/{page}" for page in CHINESE), "README.zh-CN.md", "docs/concepts/glossary.md"]
)
def test_chinese_pages_use_the_terms_of_the_trade(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [term for term in DEPRECATED if term in text] == []


def test_the_glossary_has_the_terms_that_the_chinese_pages_use() -> None:
    glossary = (DOCS / "concepts" / "glossary.md").read_text()
    for term in ("预授权完成", "双人复核", "渠道响应码映射", "长款", "渠道商户号", "支付尝试", "结果未明", "单元"):
        assert term in glossary
        assert (
            any(term in (DOCS / "zh-CN" / page).read_text() for page in CHINESE)
            or term in (ROOT / "README.zh-CN.md").read_text()
        ), term
