"""`hutong events …`: what merchants are told of, and telling them again."""

from __future__ import annotations

import json
from typing import Annotated

import typer

events = typer.Typer(help="Events, and the webhooks that carry them.", no_args_is_help=True)


@events.command("schema")
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="Such as payment.succeeded; without it, all.")
    ] = None,
) -> None:
    """Print the AsyncAPI document of all types of events, or the JSON Schema of one."""
    from hutong import api
    from hutong.errors import InvalidParameter

    found = api.asyncapi()
    if name is not None:
        files = [one.file for one in api.EVENT_TYPES if one.name == name]
        if not files:
            raise InvalidParameter("no event has this type", param="TYPE")
        found = api.json_schemas()[files[-1]]
    print(json.dumps(found, indent=2, ensure_ascii=False))
