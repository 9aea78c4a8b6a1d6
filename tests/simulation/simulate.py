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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hutong.db import EmbeddedServer, migrate
from simulation import open_backend, simulate
from support import let_through


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--seed", type=int, help="only this one, with its steps")
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    folder = Path(tempfile.mkdtemp(prefix="ht-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    let_through(folder)
    server = EmbeddedServer(folder)
    failed = 0
    try:
        url = server.start()
        migrate(url)
        with open_backend(url) as backend:
            begun = time.perf_counter()
            for count, seed in enumerate(seeds):
                if count and count % 100 == 0:
                    print(f"{count} seeds, {failed} failed so far", file=sys.stderr)
                verdict = simulate(seed, backend)
                if asked.seed is not None:
                    print("\n".join(verdict.trace))
                if verdict.problems:
                    failed += 1
                    print(f"seed {seed}: {'; '.join(verdict.problems)}")
                    print(f"make simulate SEED={seed}")
            print(f"{(time.perf_counter() - begun) / len(seeds) * 1000:.0f} ms a seed")
    finally:
        server.stop(unless_used=False)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
