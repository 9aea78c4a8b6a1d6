"""The short forms of the campaigns, and one rule broken on purpose that a campaign must notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaigns.campaign import run_alone
from support import SEED

RATE = 2.0
IN_ROTATION = ("answer_before_the_commit", "believe_any_amount", "publish_before_the_commit")
"""Those that a few seconds show. `make campaign-controls` takes all."""


@pytest.mark.timeout(1500)
async def test_every_promise_is_kept_whatever_dies_or_lies(short_folder: Path) -> None:
    report = await run_alone("mixed", short_folder, rounds=4, rate=RATE, seed=SEED, calm_s=1.0)
    assert report.broken == {}, report.markdown()
    assert sum(report.faults.values()) == 4
    assert report.promises["payment"] > 10
    assert report.kept == report.kept | report.promises
    assert report.successes["credited"] > 5
    assert report.minor_units["at channels"] == report.minor_units["in the books"] > 0


@pytest.mark.timeout(1500)
async def test_a_broken_rule_is_noticed_by_a_campaign(short_folder: Path) -> None:
    """One short campaign may have no occasion for a rule; three have."""
    broken = IN_ROTATION[SEED % len(IN_ROTATION)]
    options = {"rounds": 1, "rate": 4.0, "calm_s": 4.0, "patience_s": 8.0, "misstated": 0.5}
    for turn in range(3):
        folder = short_folder / str(turn)
        folder.mkdir(mode=0o755)
        report = await run_alone("kills", folder, seed=SEED + turn, broken=broken, **options)
        if report.broken:
            return
    pytest.fail(f"nobody has noticed {broken}: {report.markdown()}")
