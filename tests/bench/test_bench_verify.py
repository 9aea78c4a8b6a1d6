"""`hutong bench verify` in small: the books that it fills are as booking one by one would have left them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hutong.bench.verify import measure_verify
from hutong.cli.main import app


async def test_the_books_that_are_measured_hold(server_url):
    lines = []
    figures = await measure_verify(server_url, rows=6_000, accounts=40, day_rows=2_000, report=lines.append)
    assert (figures.holds, figures.rows, figures.day_rows) == (True, 6_000, 2_000), lines
    assert min(figures.whole_s, figures.day_s, figures.sealing_s, figures.memory_mb) > 0


@pytest.mark.parametrize("day_rows", ["10", "11"])
def test_the_last_day_must_be_a_part_of_the_books(day_rows):
    result = CliRunner().invoke(app, ["bench", "verify", "--rows", "10", "--day-rows", day_rows])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "invalid_parameter" in result.stderr
    assert "--day-rows" in result.stderr
