"""Breaks one rule of the platform at the start of each of its processes, to see whether a campaign notices.

Python imports this module by itself where a campaign has put its folder on the path. HUTONG_TEST_BREAK names the rule.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if broken := os.environ.get("HUTONG_TEST_BREAK"):
    tests = Path(__file__).parents[2]
    sys.path.append(str(tests))

    import pytest

    from campaigns.controls import CONTROLS

    CONTROLS[broken](pytest.MonkeyPatch())
