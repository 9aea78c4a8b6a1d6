"""Sixty days of business in four zones: days, statements and trial balances are those of an independent model."""

from __future__ import annotations

from functools import partial

import pytest
from simulated_books import SCENES, Simulation

from support import SEED
from support.fixtures.books import create_books
from support.restores import restore_copy


@pytest.mark.parametrize("name", SCENES)
async def test_sixty_days_are_those_of_the_model(name, postgres15, embedded):
    """They begin on one server and are restored into another one in the middle."""
    restore = partial(restore_copy, target_server_url=embedded.start())
    counts = await Simulation(f"{SEED} {name}", SCENES[name], create_books(postgres15), restore).run()
    print(counts)
    assert counts["restores"] == 1
    assert min(counts["killed"], counts["reversals"], counts["away"]) > 0
