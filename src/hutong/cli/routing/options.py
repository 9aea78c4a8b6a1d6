"""Options that commands about routing share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
Draft = Annotated[Path, typer.Option("--draft", metavar="FILE", help="A configuration, or a file of decision tables.")]
Reason = Annotated[str, typer.Option("--reason", help="The reason; kept permanently.")]
KeyFile = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="Your operator key, in a file that only you may read (chmod 600).")
]
