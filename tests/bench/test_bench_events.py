"""`hutong bench events`: it runs, and its figures have the names that programs read."""

from __future__ import annotations

import json
import subprocess
import sys


def test_webhooks_are_measured(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hutong", "bench", "events", "--events", "40", "--part", "webhooks", "--yardstick", "1",
         "--json"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["webhooks_per_s"] > 0
    assert result["webhooks_duplicates"] == 0
    assert result["ratio_webhooks"] > 0
    assert {"worker", "receiver", "postgresql"} <= result["webhooks_cpu_ms"].keys()
