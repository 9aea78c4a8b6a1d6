"""Contributing and the glossary name files and things that exist, and the jobs are printed as they are."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from hutong import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "hutong"
PAGES = [
    DOCS / "contributing.md",
    *sorted((DOCS / "contributing").glob("*.md")),
    DOCS / "add-a-channel.md",
    DOCS / "concepts" / "glossary.md",
]
ROLES = {
    "adapter.py", "bill.py", "channel_answers.py", "channel_calls.py", "client.py", "credentials.py",
    "diagnostics.py", "disputes.py", "documents.py", "errors.py", "lifecycle.py", "merchant.py", "model.py",
    "notifications.py",
    "operator_actions.py", "payouts.py", "polling.py", "postings.py", "refunds.py", "requests.py", "responses.py",
    "statements.py", "transactions.py",
}  # fmt: skip
"""Files that a page may name without their folder: several packages have one."""

ROOMS = (SOURCE, ROOT, ROOT / "tests" / "channels", ROOT / "examples" / "add_a_channel" / "hutong_tealeaf")
ELSEWHERE = {"tealeaf_simulator.py", "api/responses.py"}


def named(page: Path) -> list[str]:
    """The names in code spans, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))


def is_path(name: str) -> bool:
    return re.fullmatch(r"[\w./-]+", name) is not None and ("/" in name or name.endswith((".py", ".sql", ".md")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_that_are_named_exist(page: Path) -> None:
    paths = {name for name in named(page) if is_path(name) and not name.startswith("/")}
    missing = {name for name in paths - ROLES - ELSEWHERE if not any((room / name).exists() for room in ROOMS)}
    assert missing - {"sql/", "migrations/"} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_things_of_a_package_that_are_named_exist(page: Path) -> None:
    for name in named(page):
        if re.fullmatch(r"hutong(\.\w+)+", name) and name != "hutong.channels":
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name


def test_roles_are_those_of_some_package() -> None:
    assert {role for role in ROLES if not any(SOURCE.rglob(role))} == set()


def test_there_is_a_page_for_each_addition_and_contributing_links_to_it() -> None:
    text = (DOCS / "contributing.md").read_text()
    pages = {page.stem for page in (DOCS / "contributing").glob("*.md")}
    assert pages == {"route", "state", "posting", "channel", "job", "setting"}
    assert {page for page in pages if f"(contributing/{page}.md)" not in text} == set()


def test_every_job_is_printed_with_its_pause(parts: dict[str, str]) -> None:
    printed = re.findall(r"^\| `(\w+)` \| ([\d.]+) s \| (.+) \|$", parts["jobs.md"], re.MULTILINE)
    assert [(name, float(pause), what) for name, pause, what in printed] == [
        (job.name, job.every_s, job.what) for job in app.JOBS
    ]
    assert len({job.name for job in app.JOBS}) == len(app.JOBS)
    assert "_generated/jobs.md" in (DOCS / "guides" / "operating.md").read_text()


def test_the_layers_are_included_and_not_written_by_hand() -> None:
    assert "_generated/layers.md" in (DOCS / "contributing.md").read_text()
