"""A channel is one folder with fixed file names, held by contracts, and nothing of its protocol is without a user."""

from __future__ import annotations

import ast
import dataclasses
import os
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from hutong.channels import (
    Bill,
    BillRow,
    BillRule,
    Capabilities,
    Channel,
    ChannelAnswer,
    HttpAnswer,
    Notification,
    OrderReference,
    PayerAction,
    PaymentMethod,
    PayoutRequest,
    PayRequest,
    RefundRequest,
    RefundRule,
)
from hutong.channels.protocol import AccountFinding
from support.sources import nodes

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hutong"
CHANNELS = SOURCE / "channels"
FOLDERS = sorted(path.parent for path in CHANNELS.glob("*/adapter.py"))
ROLES = {
    "__init__", "adapter", "credentials", "client", "requests", "responses", "notifications", "refunds", "payouts",
    "bill", "diagnostics", "disputes", "authorizations", "identity", "merchant",
}  # fmt: skip
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ADAPTERS = "Channel adapters know the wire and nothing of our books"
APART = "Channel adapters do not know each other"
BOOKS = "Channels know nothing of our books, events and merchants"

REQUESTS = (PayRequest, OrderReference, RefundRequest, PayoutRequest)
"""Values that adapters receive: an adapter reads each field."""

RESULTS = (
    AccountFinding, Bill, BillRow, BillRule, Capabilities, ChannelAnswer, HttpAnswer, Notification, PayerAction,
    PaymentMethod, RefundRule,
)  # fmt: skip
"""Values that adapters make: something outside of the adapters reads each field."""

NOT_YET_READ = {
    "ChannelAnswer.happened_at": "reconciliation compares it with the bill's time",
    "BillRule.format": "names the layout, for whoever keeps the files",
    "BillRule.kept": "reconciliation fetches a bill before it is gone",
    "BillRule.ready_hour": "reconciliation schedules by it; the adapters tell an empty day by it",
}


def attributes(paths: tuple[Path, ...]) -> set[str]:
    return {node.attr for path in paths for node in nodes(path) if isinstance(node, ast.Attribute)}


@cache
def read_by_adapters() -> set[str]:
    return attributes(tuple(file for folder in FOLDERS for file in folder.glob("*.py")))


@cache
def read_outside() -> set[str]:
    """Attributes read outside of the adapters and of the sandbox, which knows nothing of them."""
    apart = [*FOLDERS, SOURCE / "sandbox"]
    return attributes(tuple(path for path in SOURCE.rglob("*.py") if not any(it in path.parents for it in apart)))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_channels_folder_has_the_fixed_file_names(folder: Path) -> None:
    assert {file.stem for file in folder.glob("*.py")} <= ROLES
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"]


def test_the_contracts_of_adapters_name_every_folder_with_an_adapter() -> None:
    folders = {f"hutong.channels.{folder.name}" for folder in FOLDERS}
    contracts = {contract["name"]: contract for contract in CONTRACTS}
    assert set(contracts[ADAPTERS]["source_modules"]) == folders
    assert set(contracts[APART]["modules"]) == folders


def lint(source: Path) -> str:
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--no-cache",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    environment = os.environ | {"PYTHONPATH": str(source), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "static", "*.csv"))
    return tmp_path / "src"


def test_a_planted_import_of_the_books_breaks_a_contract(copy: Path) -> None:
    channels = copy / "hutong" / "channels"
    (channels / "paypal_wire.py").write_text('"""Planted."""\n\nfrom hutong import ledger\n\nBOOKS = ledger\n')
    assert f"{BOOKS} BROKEN" in lint(copy)
    (channels / "paypal_wire.py").unlink()
    (channels / "stripe" / "payouts.py").write_text('"""Planted."""\n\nfrom hutong import db\n\nTABLES = db\n')
    assert f"{ADAPTERS} BROKEN" in lint(copy)
    (channels / "stripe" / "payouts.py").write_text(
        '"""Planted."""\n\nfrom hutong.channels.wechat.client import WeChatClient\n\nCLIENT = WeChatClient\n'
    )
    assert f"{APART} BROKEN" in lint(copy)
    (channels / "stripe" / "payouts.py").unlink()
    assert "BROKEN" not in lint(copy)


def test_every_verb_of_the_protocol_is_called_outside_of_the_adapters() -> None:
    verbs = {name for name in vars(Channel) if not name.startswith("_")}
    assert verbs - read_outside() == set()


def test_every_field_of_a_request_is_read_by_an_adapter() -> None:
    fields = {f"{kind.__name__}.{field.name}" for kind in REQUESTS for field in dataclasses.fields(kind)}
    assert {name for name in fields if name.partition(".")[2] not in read_by_adapters()} == set()


def test_every_field_of_a_result_is_read_outside_of_the_adapters() -> None:
    fields = {f"{kind.__name__}.{field.name}" for kind in RESULTS for field in dataclasses.fields(kind)}
    unread = {name for name in fields if name.partition(".")[2] not in read_outside()}
    assert unread <= NOT_YET_READ.keys() <= fields
