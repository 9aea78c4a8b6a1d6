"""`hutong bench recon` takes generated bills to the books and finds what is planted in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hutong.bench import reconciliation_stages as stages
from support import let_through


def test_the_whole_job_finds_what_is_planted(tmp_path: Path) -> None:
    let_through(tmp_path)
    job = stages.StageJob(tmp_path, rows=320, seed=3, memory_mb=256)
    whole = stages.whole(replace(job, key=stages.make(job)))
    assert whole.planted > 0
    assert whole.found == whole.planted
    assert whole.counts["opened"] + whole.counts["waiting"] == whole.found
    assert min(whole.receive_s, whole.read_s, whole.run_s) > 0
