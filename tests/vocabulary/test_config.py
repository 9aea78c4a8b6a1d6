"""The configuration: what is not understood is named, and never guessed at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hutong import config
from hutong.errors import ConfigurationError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HUTONG_")]:
        monkeypatch.delenv(name)


def test_without_any_setting_it_starts_in_the_home_directory() -> None:
    settings = config.load()
    assert settings.home == Path.home() / ".hutong"
    assert settings.database_url is None
    assert settings.zone == 0


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOME": "~/elsewhere",
        "DATABASE_URL": "postgresql://u:p@h/d",
        "ZONE": "7",
        "PORT": "0",
    }.items():
        monkeypatch.setenv(f"HUTONG_{name}", value)
    monkeypatch.setenv("HUTONG_PUBLIC_URL", "https://pay.example.com/")
    settings = config.load()
    assert settings.home == Path.home() / "elsewhere"
    assert settings.database_url
    assert settings.database_url.get_secret_value() == "postgresql://u:p@h/d"
    assert (settings.zone, settings.port, settings.public_url) == (7, 0, "https://pay.example.com")
    assert "u:p" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [("HUTONG_PORT", "http"), ("HUTONG_PORT", "65536"), ("HUTONG_ZONE", "256"), ("HUTONG_ZONE", "-1"),
     ("HUTONG_LOG_LEVEL", "loud"), ("HUTONG_LOG_FORMAT", "xml"), ("HUTONG_POOL_SIZE", "1"),
     ("HUTONG_QUEUE_LIMIT", "0"), ("HUTONG_DATABASE_URL", "mysql://u:p@h/d"), ("HUTONG_PUBLIC_URL", "pay.example.com"),
     ("HUTONG_PORT", "hunter22")],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name}: ") as refused:
        config.load()
    assert refused.value.param == name
    assert "u:p" not in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_all_faults_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_PORT", "x")
    monkeypatch.setenv("HUTONG_ZONE", "x")
    with pytest.raises(ConfigurationError, match=r"HUTONG_ZONE.*HUTONG_PORT|HUTONG_PORT.*HUTONG_ZONE"):
        config.load()


def test_a_slip_in_a_name_does_not_start_a_database_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_DATABSE_URL", "postgresql://u:p@h/d")
    with pytest.raises(ConfigurationError, match=r"HUTONG_DATABSE_URL.*did you mean HUTONG_DATABASE_URL"):
        config.load()


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_DATABASE_URL", "")
    assert config.load().database_url is None


def test_each_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in config.Settings.model_fields.values())
