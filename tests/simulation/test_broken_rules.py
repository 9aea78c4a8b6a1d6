"""The test of the test: a rule that is broken on purpose is noticed within the seeds that are run anyway."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from simulated_database import Backend
from test_simulation import SEEDS

from simulation import simulate
from support.broken_rules import BROKEN


@pytest.mark.parametrize("broken", BROKEN, ids=lambda rule: rule.__name__)
def test_a_broken_rule_is_noticed(
    broken_backend: Backend, monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None]
) -> None:
    broken(monkeypatch)
    for seed in range(SEEDS):
        verdict = simulate(seed, broken_backend, names=broken.__name__)
        if verdict.problems:
            assert not re.search(r"(Type|Attribute|Name|Key|Import)Error", verdict.problems[0]), verdict.problems[0]
            print(f"seed {seed}: {verdict.problems[0]}")
            return
    pytest.fail("nobody has noticed")
