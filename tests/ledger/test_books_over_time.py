"""Sixty days of books in four zones, compared with a picture of them; and broken rules that the comparison notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from books_plan import Plan, make_plan
from books_simulation import simulate
from books_verdict import Verdict, describe, shrink
from broken_books import BREAKS, Break

from hutong.db import migrate
from hutong.ledger import day_rule
from support import create_database

SEEDS = (0, 1, 2, 3, 4)
BUSINESS = 5


@pytest.fixture(scope="module")
def empty_books(server_url: str) -> str:
    migrate(url := create_database(server_url), packages=("db", "ledger"))
    return url


@pytest.fixture
def forgotten_days() -> Iterator[None]:
    """A broken calendar is not remembered, and neither is a right one where it is broken."""
    day_rule._day_of_minute.cache_clear()
    yield
    day_rule._day_of_minute.cache_clear()


@pytest.mark.parametrize("seed", SEEDS)
async def test_books_are_those_of_the_oracle_for_sixty_days(server_url: str, empty_books: str, seed: int) -> None:
    async def run(plan: Plan) -> Verdict:
        return await simulate(plan, create_database(server_url, empty_books))

    plan = make_plan(seed, business=BUSINESS)
    verdict = await run(plan)
    print(f"make simulate-books SEED={seed} BUSINESS={BUSINESS}: {plan}")
    if verdict.problem:
        print(describe(*await shrink(plan, verdict, run, seconds=60)))
    assert verdict.problem is None
    assert (verdict.days >= 59, verdict.lines > 100) == (True, True)


async def test_a_seed_gives_the_same_story_again(server_url: str, empty_books: str) -> None:
    plan = make_plan(9, days=6, business=BUSINESS)
    first, second = [await simulate(plan, create_database(server_url, empty_books)) for _ in range(2)]
    assert first == second
    assert len(first.story) > 30


@pytest.mark.usefixtures("forgotten_days")
@pytest.mark.parametrize("broken", BREAKS, ids=str)
async def test_a_broken_rule_of_the_books_is_noticed(
    server_url: str, empty_books: str, monkeypatch: pytest.MonkeyPatch, broken: Break
) -> None:
    broken.rule(monkeypatch)
    verdict = await simulate(make_plan(broken.seed, business=broken.business), create_database(server_url, empty_books))
    print(verdict.problem)
    assert verdict.check == broken.check


async def test_the_story_of_a_failure_is_short(
    server_url: str, empty_books: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(plan: Plan) -> Verdict:
        return await simulate(plan, create_database(server_url, empty_books))

    next(each for each in BREAKS if each.check == "drain").rule(monkeypatch)
    plan = make_plan(9, days=10, business=BUSINESS)
    verdict = await run(plan)
    shorter, found = await shrink(plan, verdict, run, seconds=15)
    assert found.check == verdict.check == "drain"
    assert len(shorter.steps) < len(plan.steps) / 3
    assert "is closed while a transaction of it is running" in describe(shorter, found)
