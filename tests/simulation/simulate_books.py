"""`make simulate-books`: sixty days of business in each zone for many seeds.

make simulate-books SEEDS=20 FROM=100     the last line is `100 runs, 0 failed`
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulated_books import SCENES, Simulation

from hutong.db import EmbeddedServer
from support import let_through
from support.fixtures.books import create_books
from support.restores import burn_transactions, counter, restore_copy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ht-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    let_through(folder)
    servers = [EmbeddedServer(folder / name) for name in ("first", "second")]
    try:
        first, second = (server.start() for server in servers)
        burn_transactions(first, counter(second) + 100_000)
        failed = 0
        for seed in range(asked.first, asked.first + asked.seeds):
            # Odd seeds go the other way: into the server whose counter is ahead.
            source, target = (first, second) if seed % 2 == 0 else (second, first)
            failed += sum(run(f"{seed} {name}", name, source, target) for name in SCENES)
        print(f"{asked.seeds * len(SCENES)} runs, {failed} failed")
        return 1 if failed else 0
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def run(seed: str, name: str, source: str, target: str) -> bool:
    """Run one seed in one zone, and return whether it failed."""
    restore = partial(restore_copy, target_server_url=target)
    try:
        counts = asyncio.run(Simulation(seed, SCENES[name], create_books(source), restore).run())
    except Exception as error:  # noqa: BLE001 - whatever it is, the next run goes on
        print(f"{seed}: {type(error).__name__}: {error}")
        return True
    print(f"{seed}: {counts}")
    return False


if __name__ == "__main__":
    sys.exit(main())
