"""Each argument and option of each command takes values at the edges: no traceback, and the status of the one rule."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from test_exit_status import leaves
from typer.main import get_command
from yarl import URL

from hutong import db
from hutong.cli.main import app
from hutong.sandbox import SandboxSettings, serve
from support.command_line import Done, Run
from support.edge_values import DAYS, EDGES_SEED, INSTANTS, INTEGERS, TEXTS, some
from support.fixtures.routing_commands import keys

SERVING = {"serve", "api", "worker", "demo", "bench", "drill", "prepare"}
"""Commands that start servers or measure for long: only what reads their arguments is run."""
AT_ONCE = 250
"""The calls of one run of the suite."""
ABSENT = "01h455vb4pex5vsknk084sn02q"
TEXT = {
    "CHANNEL": "wechat", "channel": "wechat", "ACCOUNT": "wechat/main", "account": "main", "NAME": "main",
    "interface": "refund", "code": "EDGE", "state": "failed", "unified_code": "declined", "role": "viewer",
    "currency": "CNY", "merchant_id": f"mer_{ABSENT}", "merchant": f"mer_{ABSENT}", "operator_id": f"opr_{ABSENT}",
    "proposal": f"prp_{ABSENT}", "proposal_id": f"prp_{ABSENT}", "exception_id": f"exc_{ABSENT}",
    "event": f"evt_{ABSENT}",
    "endpoint": f"whe_{ABSENT}", "payment": f"pay_{ABSENT}", "override": f"ovr_{ABSENT}", "suggestion": f"sug_{ABSENT}",
    "month": "2026-03", "year": "2026", "memo_ledger": "points", "until": "2026-01-01T00:00:00Z", "day": "2026-03-10",
    "begin": "2026-01-01T00:00:00Z", "start": "2026-01-01T00:00:00Z", "references": "payments/1",
    "zone": "Asia/Shanghai", "debits": f"{uuid4()}:1:CNY", "credits": f"{uuid4()}:1:CNY",
}  # fmt: skip


def right(parameter: Any, folder: Path, key: str) -> str:
    """A value that a parameter takes, so that the one at the edge comes as far as it can."""
    kind, name = parameter.type_descriptor.annotation, parameter.name
    if parameter.metavar == "FILE" and "--key" in parameter.opts:
        return key
    if parameter.opts[0] in ("--credentials", "--draft") or name == "file":
        return str(folder / "empty.json")
    if kind is Path:
        return str(folder / "out")
    if kind is UUID:
        return "044d009c-0000-0000-0000-000000000001"
    if kind in (int, float):
        return "1"
    if parameter.type_descriptor.is_datetime:
        return "23:59" if "%H:%M" in (parameter.metavar or "TIME") else "2026-03-10"
    if parameter.type_descriptor.is_choice:
        choice = next(iter(parameter.type_descriptor.choices))
        return str(getattr(choice, "value", choice))
    return TEXT.get(name) or TEXT.get(parameter.metavar or "") or "x"


def edges(parameter: Any, random: Random, folder: Path) -> list[str]:
    """Values at the edges of a parameter's kind, and a few of no kind."""
    kind, count = parameter.type_descriptor.annotation, 2
    shown = f"{parameter.name} {parameter.metavar} {parameter.help}"
    found = some(TEXTS, count, random)
    if kind in (int, float):
        found += [str(value) for value in some(INTEGERS, 3, random)]
    if kind is Path:
        found += some(
            [str(folder), str(folder / "absent" / "x"), "/dev/null/x", "/proc/1/mem", "x" * 300, "\u202e"], 3, random
        )
    if parameter.type_descriptor.is_datetime or re.search(
        r"DAY|day|INSTANT|TIME|month|year|instant|until|since", shown
    ):
        found += some(INSTANTS, count, random) + some(DAYS, count, random)
    return [value for value in found if "\x00" not in value and len(value) < 100_000]


def calls(folder: Path, key: str) -> Iterator[list[str]]:
    """A call of every command for each value of each of its parameters, all others being right."""
    random = Random(EDGES_SEED)
    for path, command in leaves(get_command(app)):
        if path[0] == "channel" or path == ("sandbox", "serve"):
            continue
        needed = [p for p in command.params if p.required]
        for changed in command.params:
            if changed.type_descriptor.annotation is bool:
                continue
            for value in edges(changed, random, folder):
                options, positions = [], []
                for parameter in command.params:
                    if parameter is not changed and parameter not in needed:
                        continue
                    given = value if parameter is changed else right(parameter, folder, key)
                    if parameter.param_type_name == "argument":
                        positions.append(given)
                    else:
                        options.append(f"{parameter.opts[0]}={given}")
                yield [*path, *options, "--", *positions]


def complaint(done: Done) -> str | None:
    """What is wrong with the end of a command."""
    if "Traceback" in done.stderr + done.stdout:
        return "a traceback"
    if done.returncode == 1 and "the sandbox refuses" in done.stderr:
        return "5xx of the sandbox"
    if done.returncode not in (0, 1, 2):
        return "another status"
    if done.returncode == 2 and not done.stderr.strip():
        return "no reason"
    return None


@pytest.fixture
def sandbox_port(tmp_path: Path) -> Iterator[int]:
    """The port of a sandbox that runs in a thread of its own."""
    ready: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def run() -> None:
        async with serve(SandboxSettings(tmp_path / "sandbox", speed=1000)) as url:
            end = asyncio.Event()
            ready.put((URL(url).port or 0, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    port, loop, end = ready.get(timeout=120)
    yield port
    loop.call_soon_threadsafe(end.set)
    thread.join()


def test_no_value_at_an_edge_is_more_than_a_refusal(
    command: Run,
    sandbox_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "empty.json").chmod(0o600)
    key = keys(command, tmp_path, "admin")["admin"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUTONG_SANDBOX_PORT", str(sandbox_port))
    monkeypatch.setattr(db, "migrate", lambda *_, **__: [])  # it is migrated; each command would look
    root: Any = get_command(app)
    for path, leaf in leaves(root):
        if path[0] in SERVING:
            leaf.callback = lambda **_: None

    def run(arguments: list[str]) -> str | None:
        status: object = 0
        try:
            root.main(arguments, prog_name="hutong")
        except SystemExit as ended:
            status = ended.code
        except Exception as error:  # noqa: BLE001 - the traceback that nobody should see
            return f"{type(error).__name__}: {error}"
        return complaint(Done(int(str(status or 0)), *capsys.readouterr()))

    wanted = some(list(calls(tmp_path, key)), AT_ONCE, Random(EDGES_SEED))
    assert len(wanted) >= AT_ONCE
    wrong = [f"{' '.join(arguments)[:200]!r}: {reason}" for arguments in wanted if (reason := run(arguments))]
    assert wrong == [], "\n".join(wrong)


def test_every_integer_has_bounds() -> None:
    """Beyond them an integer would come to a column, a date or a memory that cannot hold it."""
    unbounded = [
        (*path, parameter.name)
        for path, command in leaves(get_command(app))
        for parameter in command.params
        if parameter.type_descriptor.annotation is int and path[0] not in SERVING and path[0] != "sandbox"
        if None in (parameter.type_descriptor.parameter_info.min, parameter.type_descriptor.parameter_info.max)
    ]
    assert set(unbounded) == {
        ("merchant", "create", "fee_ppm"), ("merchant", "update", "fee_ppm"), ("merchant", "overdraft", "limit_minor"),
        ("ledger", "set-overdraft", "limit_minor"),
    }, "those whose package has the bounds"  # fmt: skip
