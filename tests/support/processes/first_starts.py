"""First starts of one installation at once, one of them killed: python first_starts.py HOMES KILL_AFTER_S.

The settings come from the environment. Each start is a process that does what `hutong serve` does before it serves.

HOMES           the data folders, one for each start, separated by commas; they may be the same one
KILL_AFTER_S    when the last start is killed and started again; 0 lets it live

The exit status is the number of starts that failed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from pathlib import Path

from hutong import app, config, sandbox

SANDBOX_URL = "http://127.0.0.1:1"


def start(home: Path) -> int:
    """Start once, in a copy of this process; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        settings = config.load().model_copy(update={"home": home})
        with app.using_database(settings) as url:
            app.migrate(settings, url)
            accounts = sandbox.accounts(Path(os.environ["HUTONG_TEST_SANDBOX"]), SANDBOX_URL)
            app.run(app.prepare(settings, sandbox_accounts=accounts))
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may pass: this is a copy of the process
        traceback.print_exc()
    os._exit(status)


def main(homes: list[Path], kill_after_s: float) -> int:
    """Start at once in these folders; return how many starts failed."""
    pids = [start(home) for home in homes]
    if kill_after_s:
        time.sleep(kill_after_s)
        os.kill(pids[-1], signal.SIGKILL)
        os.waitpid(pids.pop(), 0)
        pids.append(start(homes[-1]))
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)


if __name__ == "__main__":
    sys.exit(main([Path(home) for home in sys.argv[1].split(",")], float(sys.argv[2])))
