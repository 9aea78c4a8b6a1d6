"""The vault: what was altered, moved or sealed with a lost key does not open; keys rotate without an outage."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.errors import ConfigurationError, CredentialsUnreadable
from hutong.vault import Vault, decode_keys, key_file

OLD, NEW = b"o" * 32, b"n" * 32


@given(st.binary(max_size=200), st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_in_its_place(plaintext: bytes, context: str) -> None:
    vault = Vault([OLD])
    sealed = vault.seal(plaintext, context=context)
    assert vault.open(sealed, context=context) == plaintext
    assert sealed != vault.seal(plaintext, context=context)
    assert len(plaintext) < 4 or plaintext not in sealed


def test_any_altered_byte_keeps_it_shut() -> None:
    vault = Vault([OLD, NEW])
    sealed = vault.seal(b"secret", context="a")
    for position in range(len(sealed)):
        for bit in range(8):
            altered = bytearray(sealed)
            altered[position] ^= 1 << bit
            with pytest.raises((ConfigurationError, CredentialsUnreadable)):
                vault.open(bytes(altered), context="a")


def test_what_is_cut_or_longer_keeps_shut() -> None:
    vault = Vault([OLD])
    sealed = vault.seal(b"secret", context="a")
    for wrong in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0"]:
        with pytest.raises(ConfigurationError):
            vault.open(wrong, context="a")


def test_another_place_keeps_it_shut() -> None:
    vault = Vault([OLD])
    with pytest.raises(ConfigurationError, match="moved"):
        vault.open(vault.seal(b"secret", context="channel_account:1"), context="channel_account:2")


def test_keys_rotate_and_the_first_one_seals() -> None:
    before, during, after = Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])
    sealed = before.seal(b"secret", context="a")
    assert during.open(sealed, context="a") == b"secret"
    assert after.open(during.seal(b"secret", context="a"), context="a") == b"secret"
    with pytest.raises(CredentialsUnreadable, match="not configured"):
        after.open(sealed, context="a")


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b"x" * 33], [b""]])
def test_a_key_has_32_bytes(keys: list[bytes]) -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Vault(keys)


def test_keys_are_read_from_base64_the_current_one_first() -> None:
    text = ", ".join(base64.b64encode(key).decode() for key in (NEW, OLD))
    assert decode_keys(text) == [NEW, OLD]
    for wrong in ("not base64!", "ключ", "AAA"):
        with pytest.raises(ConfigurationError) as refused:
            decode_keys(wrong)
        assert refused.value.param == "HUTONG_SECRET_KEY"
        assert wrong not in str(refused.value)


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        (key,) = key_file(tmp_path / "key")
    finally:
        os.umask(old)
    assert len(key) == 32
    assert key_file(tmp_path / "key") == [key]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


MAKE_KEY = """
import sys, time
from pathlib import Path
from hutong.vault import key_file
time.sleep(max(0, float(sys.argv[2]) - time.time()))
print(key_file(Path(sys.argv[1])))
"""


def test_processes_that_make_the_key_file_at_once_share_one_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE_KEY, str(tmp_path / "key"), str(time.time() + 1.5)]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({maker.communicate()[0] for maker in makers}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("content", [b"", b"\n", b"not base64!\n", base64.b64encode(b"short"), b"A" * 43])
def test_a_broken_key_file_is_named_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="backup"):
        key_file(path)
    assert path.read_bytes() == content


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key_file(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        key_file(tmp_path / "key")


def test_a_derived_key_stays_while_keys_rotate_and_is_another_for_each_purpose() -> None:
    before, rotated = Vault([OLD]), Vault([NEW, OLD])
    assert before.derive_key("ids") == rotated.derive_key("ids") != Vault([NEW]).derive_key("ids")
    assert len({before.derive_key("ids"), before.derive_key("other"), OLD}) == 3
