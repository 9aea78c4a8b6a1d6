"""Every console block of the documentation is executed by a test; what is not executed is no console block."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from hutong.sandbox.stripe.keys import StripeSandboxKeys
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from support.command_line import Run, run_here
from support.fixtures.routing_commands import keys
from support.guides import DOCS, ID, ROOT, blocks, check_command, consoles, hutong_arguments, steps

ELSEWHERE = {
    "guides/accepting-a-payment.md": "tests/docs/test_readme.py",
    "guides/backup.md": "tests/docs/test_backup_guide.py",
    "guides/closing-a-month.md": "tests/cli/test_closing_a_month_guide.py",
    "guides/disputes.md": "tests/cli/test_dispute_commands.py",
    "guides/merchants.md": "tests/cli/test_merchant_commands.py",
    "guides/receiving-webhooks.md": "tests/docs/test_readme.py",
    "guides/refunding.md": "tests/docs/test_readme.py",
    "guides/routing.md": "tests/cli/test_routing_guide.py",
    "guides/sandbox.md": "tests/docs/test_readme.py",
    "guides/test-clock.md": "tests/docs/test_readme.py",
    "concepts/webhooks.md": "tests/cli/test_listen_commands.py",
    "concepts/payment-records.md": "tests/docs/test_readme.py",
}
"""Pages whose console blocks another test file runs."""

PAGES = {str(path.relative_to(ROOT)): path for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]}
PAGES = {name: path for name, path in PAGES.items() if "/_" not in name and name != "CHANGELOG.md"}
WITH_CONSOLES = {
    name.removeprefix("docs/"): path
    for name, path in PAGES.items()
    if consoles(path.read_text()) and "zh-CN" not in name  # test_chinese.py: they have the blocks of the English ones
}


class Hall:
    """Where a page's commands run: a database and a data folder of its own, and what the page's names stand for."""

    def __init__(self, command: Run, folder: Path) -> None:
        self.command, self.folder = command, folder
        self.known: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def operators(self, *names: str) -> None:
        """Have an operator and an approver, whose key files the page calls by these names."""
        for role, name in zip(("operator", "approver"), names, strict=False):
            if role not in self._keys:
                self._keys |= keys(self.command, self.folder, role)
            self.known[name] = self._keys[role]

    def credentials(self, name: str, fields: dict[str, object]) -> None:
        file = self.folder / name
        file.write_text(json.dumps(fields))
        file.chmod(0o600)


def books(hall: Hall) -> None:
    hall.operators("books.key", "approver.key")
    key, reason = hall.known["books.key"], "charges by bank"
    opened = hall.command("ledger", "open-account", "1001", "CNY", "--key", key, "--reason", reason)
    assert opened.returncode == 0, opened
    hall.known["ACCOUNT"] = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", opened.stdout)[0]


def merchant_with_operator(hall: Hall) -> None:
    made = json.loads(hall.command("merchant", "create", "Example Store", "--json").stdout)
    hall.known["mer_…"] = made["merchant_id"]
    hall.operators("operator.key")


def two_operators(hall: Hall) -> None:
    hall.operators("~/li.key", "~/wang.key")


def li_and_wang(hall: Hall) -> None:
    hall.operators("li.key", "wang.key")


def wechat(hall: Hall) -> None:
    fields = WeChatSandboxKeys.load(hall.folder / "keys").credentials("https://api.mch.weixin.qq.com")
    for name in ("wechat.json", "wechat-new.json"):
        hall.credentials(name, fields)


def stripe(hall: Hall) -> None:
    hall.credentials("stripe.json", StripeSandboxKeys.load(hall.folder / "keys").credentials("https://api.stripe.com"))


def nothing(hall: Hall) -> None:
    """The page needs a database with nothing in it."""


def no_database(hall: Hall) -> None:
    """The page has targets of make alone."""


HALLS: dict[str, Callable[[Hall], None]] = {
    "README.md": nothing,
    "add-a-channel.md": no_database,
    "contributing.md": no_database,
    "reliability.md": no_database,
    "concepts/books.md": books,
    "concepts/refunds.md": merchant_with_operator,
    "concepts/simulation.md": no_database,
    "guides/channel-codes.md": two_operators,
    "guides/operators.md": nothing,
    "guides/postgresql.md": nothing,
    "guides/reconciling.md": li_and_wang,
    "guides/restoring.md": nothing,
    "guides/stripe.md": stripe,
    "guides/wechat.md": wechat,
}
"""Pages whose console blocks run here, with what has to be there before."""

MAY_FAIL = {"doctor"}
"""A new installation has no channel account yet, and the doctor says so."""


def test_every_page_with_console_blocks_is_run_somewhere() -> None:
    named = ELSEWHERE.keys() | HALLS.keys()
    assert named == WITH_CONSOLES.keys()
    assert not ELSEWHERE.keys() & HALLS.keys()
    for page, file in ELSEWHERE.items():
        text = (ROOT / file).read_text()
        assert f'{Path(page).name}"' in text, page
        assert "consoles(" in text, page


@pytest.fixture
def hall(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Hall:
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Hall(partial(run_here, monkeypatch, capsys), tmp_path)


@pytest.mark.parametrize("page", [page for page, prepare in HALLS.items() if prepare is no_database])
def test_the_targets_of_make_that_a_page_prints_exist(page: str, tmp_path: Path) -> None:
    for line, printed in steps_of(page):
        assert printed == []
        run_other(line, tmp_path)


def test_the_commands_of_the_pages_run_as_printed(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    for page, prepare in HALLS.items():
        if prepare is not no_database:
            hall.known.clear()
            prepare(hall)
            for line, printed in steps_of(page):
                run_step(page, line, printed, hall, monkeypatch)


def steps_of(page: str) -> list[tuple[str, list[str]]]:
    return [step for console in consoles(WITH_CONSOLES[page].read_text()) for step in steps(console)]


def run_step(page: str, line: str, printed: list[str], hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    actual = line
    for name, value in hall.known.items():
        actual = actual.replace(name, value)
    arguments = hutong_arguments(actual)
    if arguments is None:
        run_other(actual, hall.folder, monkeypatch)
    elif arguments == ["serve"]:
        check_command(arguments)  # what the platform of test_readme starts; it serves until it is interrupted
    else:
        done = hall.command(*arguments)
        assert done.returncode == 0 or arguments[0] in MAY_FAIL, f"{page}: {line}: {done}"
        hall.known |= dict(zip(ID.findall("\n".join(printed)), ID.findall(done.stdout), strict=False))
        if arguments[:2] == ["operator", "add"]:
            hall.known["opr_01kas0000000000000000000aa"] = re.findall(r"opr_[0-9a-z]{26}", done.stdout)[0]
        output = done.stdout.splitlines()[: len(printed)]
        assert [ID.sub("ID", each) for each in output] == [ID.sub("ID", each) for each in printed], f"{page}: {line}"


def run_other(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """Run a line that is no command of ours: a target of make is looked up, an exported value holds for the next."""
    looked_up = re.fullmatch(r"((?:\w+=\S+ )*make )(.*)", line)
    exported = re.fullmatch(r"export (\w+)=(.*?)(?:   #.*)?", line)
    shell = f"{looked_up[1]}-n {looked_up[2]}" if looked_up else f"set -e; echo {exported[2]}" if exported else line
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT if looked_up else folder,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, f"{line}: {done.stderr}"
    assert done.stdout or not looked_up, line
    if exported and monkeypatch and not exported[1].endswith("DATABASE_URL"):  # of those the test has its own
        monkeypatch.setenv(exported[1], done.stdout.strip())


def shown_commands() -> Iterator[tuple[str, str]]:
    for name, path in PAGES.items():
        for language, text in blocks(path.read_text()):
            if language == "text":
                joined = text.replace("\\\n", " ")
                yield from ((name, line) for line in joined.splitlines() if hutong_arguments(line) is not None)


def test_commands_that_are_only_shown_are_commands_with_options_that_exist() -> None:
    shown = list(shown_commands())
    assert len(shown) > 10
    for _, line in shown:
        check_command([re.sub(r"^(\w{3})_…", r"\1_01h455vb4pex5vsknk084sn02q", part) for part in
                       hutong_arguments(line) or []])  # fmt: skip
