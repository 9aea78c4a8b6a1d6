"""The README does what it says: its commands are run as printed, its examples too, and it tells every setting."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hutong.config import Settings
from hutong.demo import RunningPlatform
from support import let_through, unavailable

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VOLATILE = (
    (re.compile(r"\b(pay|att|acc|mer|key|whe|evt|req)_[0-9a-z]{26}"), r"\1_…"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "INSTANT"),
    (re.compile(r"weixin://\S+?(?=[\"\s])"), "CODE"),
    (re.compile(r"token=[\w-]+"), "token=…"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "ADDRESS"),
)


def blocks(path: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return BLOCK.findall(path.read_text())


def settled(text: str) -> str:
    """The text without what is different each time."""
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return text.strip()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform of the tests' own, with its data where nobody else's is."""
    home = tmp_path_factory.mktemp("readme")
    let_through(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUTONG_HOME", str(home))
        running = RunningPlatform(Settings(), own=True)
        yield running
        running.stop()


@pytest.fixture
def surroundings(platform: RunningPlatform) -> dict[str, str]:
    """The environment of somebody who follows the README while the platform runs."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return os.environ | {
        "HUTONG": platform.address,
        "SANDBOX": platform.sandbox_address,
        "HOOK_PORT": str(port),
        "HUTONG_HOME": str(platform.settings.home),
    }


def test_session_runs_as_printed_and_prints_what_is_printed(surroundings: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        unavailable("curl is not installed")
    mark = f"--{secrets.token_hex(8)}--"
    script = ["set -euo pipefail"]
    expected: list[str] = []
    for language, text in blocks(ENGLISH):
        if language == "bash":
            script += [text, f"echo {mark}"]
            expected.append("")
        elif language in ("json", "text"):
            expected[-1] = text
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = [settled(part) for part in done.stdout.split(mark)[:-1]]
    assert printed == [settled(text) for text in expected]


def test_both_languages_give_the_same_commands_and_answers() -> None:
    assert blocks(CHINESE) == blocks(ENGLISH)


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_every_setting_is_documented_with_its_default(path: Path, parts: dict[str, str]) -> None:
    documented = re.findall(r"^\| (`HUTONG_\w+` \| [^|]+) \|", path.read_text(), re.MULTILINE)
    assert documented == re.findall(r"^\| (`HUTONG_\w+` \| [^|]+) \|", parts["settings.md"], re.MULTILINE)
    if path is ENGLISH:
        assert parts["settings.md"] in path.read_text()


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_verification_shown_is_the_one_that_the_example_runs() -> None:
    (shown,) = [text for language, text in blocks(ENGLISH) if language == "python"]
    assert shown in (ROOT / "examples" / "webhook_receiver.py").read_text()
    assert len(shown.strip().splitlines()) <= 8


def test_create_payment_example_takes_a_payment(surroundings: dict[str, str], platform: RunningPlatform) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "hutong", "merchant", "create", "Example", "--json"],
        env=surroundings,
        capture_output=True,
        text=True,
        check=True,
    )
    environment = surroundings | {"KEY": json.loads(made.stdout)["api_key"]}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "create_payment.py"), "2001", "1250"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as example:
        assert example.stdout is not None
        link = example.stdout.readline()
        assert settled(link) == "send the payer to ADDRESS/pay/pay_…?token=…"
        _pay_in_the_cashier(link.split()[-1], platform)
        assert example.stdout.read() == "2001 succeeded 1250 CNY\n"
        assert example.wait(30) == 0


def _pay_in_the_cashier(link: str, platform: RunningPlatform) -> None:
    page, _, token = link.partition("?token=")
    headers = {"X-Checkout-Token": token, "Content-Type": "application/json"}
    state = _call(f"{page}/attempts", headers, {"method": "wechat_native"})
    while not state["sandbox_payer_url"]:
        time.sleep(0.2)
        state = _call(f"{page}/status", headers)
    _, _, code = str(state["sandbox_payer_url"]).partition("code_url=")
    _call(f"{platform.sandbox_address}/control/wechat/pay", headers, {"code_url": _unquoted(code)})


def _call(url: str, headers: dict[str, str], body: dict[str, str] | None = None) -> dict[str, object]:
    from urllib.request import Request, urlopen

    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, headers), timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def _unquoted(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text.partition("&")[0])
