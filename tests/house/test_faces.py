"""The face of a package is a promise: few names, each with a user outside of the package."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from support.sources import nodes, tree

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hutong"
PACKAGES = sorted(folder.name for folder in SOURCE.iterdir() if (folder / "__init__.py").exists())
USERS = [path for folder in ("src/hutong", "examples", "docs/ext") for path in sorted((ROOT / folder).rglob("*.py"))]
MOST = 40

EXTENSIONS: dict[str, str] = {
    "app.wire": "tests and simulations wire the platform over a database, a clock and identifiers of their own",
    "app.Job": "the kind of `app.JOBS`, see docs/contributing/job.md",
    "app.Worker": "the argument of a job, see docs/contributing/job.md",
    "consumer.Handler": "the type of a consumer's handler, see docs/guides/consuming-events.md",
    "consumer.Parked": "what list_parked returns, see docs/guides/consuming-events.md",
    "consumer.Policy": "an argument of a consumer, see docs/guides/consuming-events.md",
    "consumer.Progress": "what progress returns, see docs/guides/consuming-events.md",
    "consumer.Source": "what other transports give to attend, see docs/guides/consuming-events.md",
    "consumer.Taken": "what take returns, see docs/guides/consuming-events.md",
    "consumer.kafka": "runs a consumer on Kafka, see docs/guides/consuming-events.md",
    "consumer.progress": "the progress of a consumer, see docs/guides/consuming-events.md",
    "channels.RefundRule": "a capability of adapters, see docs/add-a-channel.md",
    "channels.after_sending": "adapters call it, see docs/add-a-channel.md",
}
"""Names without a user in the house, such as `channels.Adapter`, each with its purpose."""


def exported(package: str) -> list[str]:
    for node in tree(SOURCE / package / "__init__.py").body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return []


@cache
def uses(path: Path) -> frozenset[tuple[str, str]]:
    """The names that a file takes from the faces of packages: `from hutong import ledger; ledger.X`, or imported."""
    aliases: dict[str, str] = {}
    found: set[tuple[str, str]] = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module == "hutong":
            aliases |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hutong."):
            package = (node.module or "").split(".")[1]
            found |= {(package, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            aliases |= {alias.name: alias.name.split(".")[1] for alias in node.names if alias.name.count(".") == 1}
    for node in nodes(path):
        if isinstance(node, ast.Attribute):
            start = ast.unparse(node.value)
            if start in aliases:
                found.add((aliases[start], node.attr))
    return frozenset(found)


def users(package: str) -> set[str]:
    """The names that files outside of a package use of it."""
    own = SOURCE / package
    return {name for path in USERS if own not in path.parents for face, name in uses(path) if face == package}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_exported_name_is_used_outside_of_its_package(package: str) -> None:
    unused = sorted(set(exported(package)) - users(package))
    documented = {name.partition(".")[2] for name in EXTENSIONS if name.startswith(f"{package}.")}
    assert unused == sorted(documented)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_face_has_at_most_forty_names(package: str) -> None:
    assert len(exported(package)) <= MOST
