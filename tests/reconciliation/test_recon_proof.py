"""The short form of `make recon-proof`: what is planted is found, nothing else, however bills come and runs end."""

from __future__ import annotations

from pathlib import Path

from recon_proof import prove_classes, prove_correction, prove_kills

from hutong.reconciliation.generate import Options


def test_every_planted_difference_is_found_and_none_is_invented(tmp_path: Path) -> None:
    prove_classes(1_280, 11, tmp_path, ["fingerprint", "one_sql"], ["wechat"])


def test_a_corrected_bill_opens_what_it_contradicts(tmp_path: Path) -> None:
    prove_correction(640, 5, tmp_path, Options(days=1, channels=("unionpay",)))


def test_a_killed_run_comes_to_the_same(tmp_path: Path) -> None:
    prove_kills(320, 5, tmp_path, 2, days=1)
