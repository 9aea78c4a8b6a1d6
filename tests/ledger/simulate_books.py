"""`make simulate-books`: books over weeks, from one number each, carried between two servers by dump and restore.

make simulate-books SEEDS=20 FROM=100     the last line is `20 seeds, 0 failed`
make simulate-books SEED=107              one seed again, with all its steps; of a failure, the fewest that show it
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from books_plan import Plan, make_plan
from books_simulation import simulate
from books_verdict import Verdict, describe, shrink
from books_world import Carrier

from hutong.db import EmbeddedServer, migrate
from hutong.telemetry import configure_logging
from support import create_database, let_through
from support.restores import restore_copy


class Dumps(Carrier):
    """Carries a database from one server to the other by pg_dump and pg_restore."""

    def __init__(self, servers: list[str]) -> None:
        self._servers = servers

    async def prepare(self, url: str) -> None:
        """Both servers count from where they are."""

    async def carry(self, url: str, *, lower: bool) -> str:
        here = next(server for server in self._servers if url.rpartition("?")[2] == server.rpartition("?")[2])
        there = next(server for server in self._servers if server != here)
        return await asyncio.to_thread(restore_copy, url, there)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--seed", type=int, help="only this one, with its steps")
    parser.add_argument("--business", type=int, default=15, help="about how much business a day")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else range(asked.seed, asked.seed + 1)
    configure_logging(level="error")
    folder = Path(tempfile.mkdtemp(prefix="ht-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    let_through(folder)
    servers = [EmbeddedServer(folder / name) for name in ("a", "b")]
    try:
        urls = [server.start() for server in servers]
        failed = sum(_one(seed, asked.business, urls, tell=asked.seed is not None) for seed in seeds)
    finally:
        for server in servers:
            server.stop(unless_used=False)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


def _one(seed: int, business: int, servers: list[str], *, tell: bool) -> bool:
    migrate(empty := create_database(servers[0]), packages=("db", "ledger"))

    async def run(plan: Plan) -> Verdict:
        return await simulate(plan, create_database(servers[0], empty), Dumps(servers))

    plan = make_plan(seed, business=business)
    begun = time.perf_counter()
    verdict = asyncio.run(run(plan))
    if tell:
        print("\n".join(verdict.story))
    if verdict.problem:
        print(describe(*asyncio.run(shrink(plan, verdict, run, seconds=300))))
        print(f"make simulate-books SEED={seed} BUSINESS={business}")
    else:
        took = time.perf_counter() - begun
        print(f"seed {seed}: {plan}: {verdict.days} days, {verdict.lines} movements, {took:.0f} s", flush=True)
    return verdict.problem is not None


if __name__ == "__main__":
    sys.exit(main())
