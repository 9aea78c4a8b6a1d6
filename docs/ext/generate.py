"""Generated parts of pages: states, HTTP API, errors, settings, commands, metrics, jobs, books, layers, trips."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import http_page
import layers
import states
import trip_pictures
import typer
from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefined

import hutong.app
import hutong.app.web
import hutong.ledger
from hutong.api import EVENT_TYPES, PLATFORM_EVENT_TYPES, asyncapi, json_schemas
from hutong.cli.main import app as command_line
from hutong.config import Settings
from hutong.payments import disputes, refunds
from hutong.payments.model import ATTEMPT_TRANSITIONS, PAYMENT_TRANSITIONS


def setup(app: Any) -> dict[str, Any]:
    """Connect the generator to Sphinx."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "_generated"))
    app.connect("build-finished", lambda app, error: error or publish(Path(app.outdir) / "events"))
    return {"parallel_read_safe": True}


def write(folder: Path) -> None:
    """Write every part. An unchanged part keeps its time, so that Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    for name, text in (parts() | trip_parts(traced(folder / "trips.json"))).items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def publish(folder: Path) -> None:
    """Write the files for programs beside the pages: the AsyncAPI document, and a JSON Schema for each event type."""
    folder.mkdir(exist_ok=True)
    for name, document in {"asyncapi.json": asyncapi(), **json_schemas()}.items():
        (folder / name).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def traced(cache: Path) -> dict[str, Any]:
    """Return the trips through the running platform, traced again only after a change of the source.

    Args:
        cache: The file with the last trips and a digest of their source.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted([*layers.SOURCE.rglob("*.py"), *layers.SOURCE.rglob("*.sql"), *here.glob("*.py")]):
        digest.update(file.read_bytes())
    stored = json.loads(cache.read_text()) if cache.exists() else {}
    if stored.get("digest") != digest.hexdigest():
        # In a separate process: the work of this process would be traced as well.
        command = [sys.executable, str(here / "trips.py"), "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        stored = {"digest": digest.hexdigest(), "trips": json.loads(done.stdout)}
        cache.write_text(json.dumps(stored))
    trips: dict[str, Any] = stored["trips"]
    return trips


def trip_parts(trips: dict[str, Any]) -> dict[str, str]:
    """Return the parts drawn from traced trips, by file name."""
    pictures = {
        f"{name}-trip.svg": f'<div class="states">\n{trip_pictures.draw(name, trip)}</div>\n'
        for name, trip in trips.items()
    }
    return pictures | {"trips.md": trip_pictures.table(trips)}


def parts() -> dict[str, str]:
    """Return the generated parts by file name, except those that need a running platform."""
    diagrams = {
        f"{name}-states.svg": f'<div class="states">\n{svg}\n</div>\n' for name, svg in states.diagrams().items()
    }
    return (
        diagrams
        | http_page.pages()
        | {
            "project.md": project_pages(Path(__file__).parents[1]),
            "decisions.md": decisions_list(Path(__file__).parents[1]),
            "tree.md": layers.tree(),
            "layers.md": layers.layers_table(),
            "contracts.md": layers.contracts_table(),
            "payment-states.md": states.table(PAYMENT_TRANSITIONS) + "\n",
            "attempt-states.md": states.table(ATTEMPT_TRANSITIONS) + "\n",
            "refund-states.md": states.table(refunds.REFUND_TRANSITIONS) + "\n",
            "dispute-states.md": states.table(disputes.DISPUTE_TRANSITIONS) + "\n",
            "events.md": events_table(),
            "platform-events.md": events_table(of_platform=True),
            "settings.md": settings_table(),
            "commands.md": "\n".join(commands()) + "\n",
            "metrics.md": metrics_table(),
            "jobs.md": jobs_table(),
            "chart.md": chart_table(),
            "postings.md": postings_table(),
        }
    )


def project_pages(docs: Path) -> str:
    """Return the last parts of the contributor's table of contents: common additions, measurements and decisions."""
    groups = {"Common additions": "contributing/*.md", "Measurements": "performance*.md", "Decisions": "decisions/*.md"}
    lines = []
    for caption, pattern in groups.items():
        names = [str(page.relative_to(docs).with_suffix("")) for page in sorted(docs.glob(pattern))]
        lines += [":::{toctree}", f":caption: {caption}", ":hidden:", "", *names, ":::", ""]
    return "\n".join(lines)


def decisions_list(docs: Path) -> str:
    """Return a link to each decision record."""
    return "".join(f"- [](decisions/{page.name})\n" for page in sorted((docs / "decisions").glob("*.md")))


def settings_table() -> str:
    """Return the table of settings."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "unset" if field.default in (None, "") else f"`{str(field.default).lower()}`"
        if field.default is PydanticUndefined:
            default = "`~/.hutong`"
        rows.append(f"| `HUTONG_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def events_table(*, of_platform: bool = False) -> str:
    """Return a table of event types. The schemas are files beside the pages, so their links are plain HTML.

    Args:
        of_platform: The types that belong to no merchant, and that streams alone carry.
    """
    rows = ["| type | version | when | the books | schema |", "|---|---|---|---|---|"]
    for one in PLATFORM_EVENT_TYPES if of_platform else EVENT_TYPES:
        link = f'<a href="../events/{one.file}">{one.data.__name__}</a>'
        rows.append(f"| `{one.name}` | {one.version} | {one.when} | {one.books} | {link} |")
    return "\n".join(rows) + "\n"


def commands() -> Iterator[str]:
    """Yield every command that is not hidden, with its arguments and options."""
    yield from _commands(typer.main.get_command(command_line), "hutong")


def _commands(command: Any, path: str) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children is not None and getattr(command, "invoke_without_command", False):
        yield from _command(command, path)
    if children is not None:
        for name, child in children.items():
            if not child.hidden:
                yield from _commands(child, f"{path} {name}")
        return
    yield from _command(command, path)


def _command(command: Any, path: str) -> Iterator[str]:
    parameters = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
    arguments = [_name(one) if one.required else f"[{_name(one)}]"
                 for one in parameters if one.param_type_name == "argument"]  # fmt: skip
    yield f"## {path}\n"
    yield f"{command.help}\n"
    options = ["[options]"] if len(arguments) < len(parameters) else []
    yield f"```text\n{' '.join([path, *arguments, *options])}\n```\n"
    if not parameters:
        return
    yield "| | default | |\n|---|---|---|"
    for one in parameters:
        option = one.param_type_name == "option"
        name = one.opts[0] if option else _name(one)
        default = (
            "required"
            if one.required
            else f"`{one.default}`"
            if one.default is not None and one.default is not False
            else ""
        )
        yield f"| `{name}` | {default} | {getattr(one, 'help', None) or ''} |"
    yield ""


def metrics_table() -> str:
    """Return the table of metrics."""
    assert hutong.app, "importing it registers them"
    assert hutong.app.web
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    collectors = {c for c in REGISTRY._collector_to_names if getattr(c, "_name", "").startswith("hutong_")}
    for one in sorted(collectors, key=lambda c: c._name):
        name = one._name + ("_total" if one._type == "counter" else "")
        rows.append(f"| `{name}` | {one._type} | {', '.join(one._labelnames)} | {one._documentation} |")
    return "\n".join(rows) + "\n"


def jobs_table() -> str:
    """Return the table of the worker's repeated jobs."""
    rows = ["| job | pause | what it does |", "|---|---|---|"]
    rows += [f"| `{job.name}` | {job.every_s:g} s | {job.what} |" for job in hutong.app.JOBS]
    return "\n".join(rows) + "\n"


def chart_table() -> str:
    """Every subject of the chart of accounts."""
    rows = ["| code | account | 科目 | class | one for each |", "|---|---|---|---|---|"]
    rows += [
        f"| {entry.code} | {entry.name_en} | {entry.name_zh} | {entry.klass.value} | {entry.per.value} |"
        for entry in hutong.ledger.CHART.values()
    ]
    return "\n".join(rows) + "\n"


def postings_table() -> str:
    """Every accounting event with its legs; `held` marks those that are held first, and posted or released later."""
    rows = ["| code | event | 事件 | debit | credit | amount | |", "|---|---|---|---|---|---|---|"]
    for event in hutong.ledger.EVENTS.values():
        head = f"| {event.code:d} | {event.name_en}{'' if event.booked else ' (planned)'} | {event.name_zh}"
        rows += [
            f"{head} | {leg.debit} | {leg.credit} | {leg.amount} | {'held' if leg.flags else ''} |"
            for leg in event.legs
        ] or [f"{head} | any | any | | |"]
    return "\n".join(rows) + "\n"


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())
