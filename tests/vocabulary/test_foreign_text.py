"""Texts of others: what they may hold, and how they are shown."""

from __future__ import annotations

import pytest

from hutong.cli.tables import print_table
from hutong.export import to_csv
from hutong.foreign_text import clean_text, escape


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b\u200d", "\u3164", "\u00a0\u2800", "\ufe0f", "a\u202eb", "\u2066a", "a\x1b", "\ud800"]
)
def test_a_text_that_hides_or_misleads_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"contains|blank"):
        clean_text(text)


@pytest.mark.parametrize("text", ["Tea", "茶", "👩\u200d👩\u200d👧", "می\u200cخواهم", "ｱ", "1"])
def test_a_text_that_can_be_read_is_kept(text: str) -> None:
    assert clean_text(text) == text


def test_what_moves_others_is_shown_as_an_escape() -> None:
    assert escape("a\x1b[2J\u202eb\nc\x9b\U000e0041") == "a\\x1b[2J\\u202eb\\nc\\x9b\\U000e0041"
    assert escape("a\nb", lines=True) == "a\nb"
    assert escape("茶 é") == "茶 é"


def test_tables_show_text_of_others_as_it_is_and_run_none_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"subject": "[red]x\x1b[2J\u202ey"}])
    shown = capsys.readouterr().out
    assert "[red]x\\x1b[2J\\u202ey" in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize("sign", list("=+-@\t\r＝＋－＠"))
def test_no_export_holds_a_formula(sign: str) -> None:
    assert to_csv([{"subject": f"{sign}1+1"}]).splitlines()[1].lstrip('"').startswith("'")
