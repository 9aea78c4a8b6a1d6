"""The options that only commands about routing have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Draft = Annotated[Path, typer.Option("--draft", metavar="FILE", help="A configuration, or a file of decision tables.")]
