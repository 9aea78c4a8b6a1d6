"""What commands print of the texts of others: escapes in lines, and JSON of the same meaning."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.cli import output
from hutong.foreign_text import escape_json
from support.edge_values import TEXTS

MOVING = "\x1b[2J\u202egpj\x9b\x7f\u2066\nforged line\U000e0041"


@pytest.mark.parametrize("kept", [{}, {"indent": 2}])
def test_json_means_the_same_and_moves_nothing(capsys: pytest.CaptureFixture[str], kept: dict[str, Any]) -> None:
    output.print_json({"reason": MOVING, "name": "灯笼茶馆"}, **kept)
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"reason": MOVING, "name": "灯笼茶馆"}
    assert "灯笼茶馆" in printed
    assert set(printed) & set(MOVING) <= set("[2Jgpj\nforged line")


@given(st.text(st.characters()) | st.sampled_from(TEXTS))
def test_any_text_is_the_same_after_its_json_is_read(text: str) -> None:
    shown = escape_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(shown) == text
    assert all(unicodedata.category(character) not in ("Cc", "Cs") for character in shown)


@pytest.mark.parametrize("write", [output.print_line, output.print_text, output.print_problem])
def test_a_line_of_others_moves_nothing(capsys: pytest.CaptureFixture[str], write: Callable[[str], None]) -> None:
    write(MOVING)
    printed = "".join(capsys.readouterr())
    assert not set(printed) & set("\x1b\u202e\x9b\x7f\u2066\U000e0041")
    assert printed.count("\n") == (2 if write is output.print_text else 1)


def test_csv_keeps_its_line_ends(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_text("name\r\na\rb\r\n")
    assert capsys.readouterr().out == "name\r\na\\x0db\r\n"
