"""The key material is made once, kept, and closed to other users."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hutong.sandbox.wechat.keys import PUBLIC_KEY_ID, WeChatSandboxKeys


def test_keys_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    first = WeChatSandboxKeys.load(folder).credentials("http://x")
    assert WeChatSandboxKeys.load(folder).credentials("http://x") == first


def test_several_processes_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: WeChatSandboxKeys.load(tmp_path).credentials("http://x"), range(4)))
    assert all(credentials == made[0] for credentials in made)


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    WeChatSandboxKeys.load(folder)
    assert {path.stat().st_mode & 0o077 for path in [folder, *folder.iterdir()]} == {0}
    assert len(list(folder.iterdir())) == 8


def test_both_modes_know_the_certificate(keys: WeChatSandboxKeys) -> None:
    public = keys.credentials("http://x")["platform_keys"]
    assert list(public) == [PUBLIC_KEY_ID, keys.platform.serial]
    assert list(keys.credentials("http://x", public_key_mode=False)["platform_keys"]) == [keys.platform.serial]
