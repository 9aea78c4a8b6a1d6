"""Whether the campaigns have the power to notice: each rule is broken once, and a short campaign must find it.

Run by `make campaign-controls`; ROUNDS, RATE and SEED change it.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from campaigns.campaign import run_alone
from campaigns.controls import CAMPAIGN_OF, CONTROLS

SHORT = {"rounds": 2, "rate": 4.0}
_PATIENCE_S = 40.0
"""A broken rule shows also in what does not come to an end."""


def main() -> int:
    """Run a campaign for each control and say what it has found; exit with 1 if one was not noticed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=SHORT["rounds"])
    parser.add_argument("--rate", type=float, default=SHORT["rate"])
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("controls", nargs="*", default=sorted(CONTROLS))
    chosen = parser.parse_args()
    missed = []
    for broken in chosen.controls:
        with tempfile.TemporaryDirectory(prefix="ht-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            folder.chmod(0o755)
            options = {"rounds": chosen.rounds, "rate": chosen.rate, "seed": chosen.seed, "patience_s": _PATIENCE_S}
            report = asyncio.run(run_alone(CAMPAIGN_OF.get(broken, "kills"), folder, broken=broken, **options))
        found = "; ".join(f"{name} ({what['cases']})" for name, what in report.broken.items())
        print(f"{broken}, seed {chosen.seed}: {found[:600] or 'NOT NOTICED'}", flush=True)
        missed += [] if report.broken else [broken]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
