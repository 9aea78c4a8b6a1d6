"""Changes the platform at the start of each of its processes: breaks a rule, to see whether a campaign notices, or
takes the clock from a file.

Python imports this module by itself where a campaign has put its folder on the path. HUTONG_TEST_BREAK names the rule,
HUTONG_TEST_CLOCK the file, which has the seconds by which the clock is off.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

broken, clock = os.environ.get("HUTONG_TEST_BREAK"), os.environ.get("HUTONG_TEST_CLOCK")
if broken or clock:
    sys.path.append(str(Path(__file__).parents[2]))

    import pytest

    from campaigns.controls import CONTROLS, take_clock_from

    if broken:
        CONTROLS[broken](pytest.MonkeyPatch())
    if clock:
        take_clock_from(Path(clock), pytest.MonkeyPatch())
