"""`make simulate`: run seeds and say what they found.

make simulate SEEDS=200 FROM=5000     the last line is `200 seeds, 0 failed`
make simulate SEED=5017               one seed again, with all its steps
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation_workers import WORKERS, open_workers, run_seeds

from hutong.db import EmbeddedServer, migrate
from simulation import open_backend, simulate
from support import let_through

PART = 25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--seed", type=int, help="only this one, with its steps")
    asked = parser.parse_args()
    seeds = (
        range(asked.seed, asked.seed + 1) if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    )
    folder = Path(tempfile.mkdtemp(prefix="ht-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    let_through(folder)
    server = EmbeddedServer(folder)
    try:
        url = server.start()
        failed = _one(url, asked.seed) if asked.seed is not None else _many(url, seeds)
    finally:
        server.stop(unless_used=False)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


def _one(url: str, seed: int) -> int:
    migrate(url)
    with open_backend(url) as backend:
        verdict = simulate(seed, backend)
    print("\n".join(verdict.trace))
    return _print_failure(seed, verdict.problems) if verdict.problems else 0


def _many(url: str, seeds: Sequence[int]) -> int:
    done, failed, books = 0, 0, set[str]()
    with open_workers(url) as workers:
        begun = time.perf_counter()
        for part in workers.map(run_seeds, [seeds[start : start + PART] for start in range(0, len(seeds), PART)]):
            done += part.seeds
            failed += sum(_print_failure(seed, problems) for seed, problems in part.failed.items())
            books.update(part.books)
            if done < len(seeds) and done % 100 == 0:
                print(f"{done} seeds, {failed} failed so far", file=sys.stderr)
        print(f"{(time.perf_counter() - begun) / len(seeds) * 1000:.0f} ms a seed, {WORKERS} at once")
    for problem in sorted(books):
        print(f"the books: {problem}")
    # Books that do not hold are nobody's in particular; they must not be taken for a success.
    return max(failed, len(books) and 1)


def _print_failure(seed: int, problems: Sequence[str]) -> int:
    print(f"seed {seed}: {'; '.join(problems)}")
    print(f"make simulate SEED={seed}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
